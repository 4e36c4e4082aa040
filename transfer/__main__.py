"""`python -m transfer` is `transfer`."""

import sys

from transfer.cli import main

if __name__ == "__main__":
    sys.exit(main())
