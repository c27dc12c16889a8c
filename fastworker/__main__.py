"""`python -m fastworker` is the `fastworker` command."""

import sys

from fastworker.cli import main

if __name__ == "__main__":
    sys.exit(main())
