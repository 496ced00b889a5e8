"""`diwa-cloud-migrate`: upgrades the schema that both repositories share."""

import sys

from diwa_schema.cli import main as diwa_schema


def main() -> int:
    """Upgrade the schema."""
    return diwa_schema(["upgrade", "--repo", "diwa-cloud", *sys.argv[1:]])
