"""Bodies that are sent and received piece by piece, on a connection."""
