"""``python -m diwa_schema`` and ``diwa-schema``: one command in its own process."""

import gc
import sys

from diwa_schema.cli import main

# The number of new objects after which Python searches for cycles. A command first creates the objects of its
# imports, which never become garbage; repeated searches through them take 10 ms of a command with nothing to do.
_BETWEEN_LOOKS = 200_000


def process() -> int:
    """Run the command of this process, and return its exit code."""
    gc.set_threshold(_BETWEEN_LOOKS)
    try:
        return main()
    finally:
        # At its end Python searches all loaded objects for cycles once more, another 30 ms, before it frees them.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(process())
