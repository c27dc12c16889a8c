"""The wire protocol without I/O: HTTP, envelopes, outputs, routes. Pure: bytes and values in, bytes and values out."""
