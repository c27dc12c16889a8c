"""The bare ASGI app of the peers with numpy."""

import numpy as np

from benchmarks.contenders.apps.raw_asgi import app

__all__ = ["app", "np"]
