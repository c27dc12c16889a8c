"""The local host: the protocol's test vectors against a scripted handler, and whole apps with real ones."""
