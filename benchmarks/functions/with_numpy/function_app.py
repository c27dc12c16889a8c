"""The empty app with numpy, served by fastworker."""

import numpy as np

from benchmarks.functions.empty.function_app import app

__all__ = ["app", "np"]
