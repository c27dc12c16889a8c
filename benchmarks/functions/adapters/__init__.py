"""Apps that were not written for fastworker, each in a folder: the same files on every server. For `adapters`."""
