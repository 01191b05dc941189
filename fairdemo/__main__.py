"""`python -m fairdemo`."""

import sys

from fairdemo.cli import main

if __name__ == "__main__":
    sys.exit(main())
