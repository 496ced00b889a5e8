"""``python -m diwa_schema`` and ``diwa-schema``: one command in its own process."""

import gc
import sys

from diwa_schema.cli import main

# New objects after which Python looks for cycles among them. What a command makes first is what it loads, and none of
# that is ever garbage: looking through it again and again takes 10 ms of a command with nothing to do.
_BETWEEN_LOOKS = 200_000


def process() -> int:
    """Run the command that this process was started for, and return its exit code."""
    gc.set_threshold(_BETWEEN_LOOKS)
    try:
        return main()
    finally:
        # At its end Python looks for cycles once more among all that was loaded, another 30 ms, before all of it goes.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(process())
