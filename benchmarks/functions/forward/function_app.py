"""The http functions in a folder whose host.json has the host forward requests."""

from benchmarks.functions.plain import app

__all__ = ["app"]
