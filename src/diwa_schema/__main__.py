"""``python -m diwa_schema``."""

import sys

from diwa_schema.cli import main

if __name__ == "__main__":
    sys.exit(main())
