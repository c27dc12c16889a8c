"""An app whose work is native and would use every CPU by itself: matrices. For `threads`."""

from typing import Final

SIZE: Final = 400
EXPECTED: Final = str(SIZE).encode()
