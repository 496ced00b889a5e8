"""`diwa-agent-migrate`: blocked here, because diwa-cloud owns the schema."""

import sys

from diwa_schema.cli import main as diwa_schema


def main() -> int:
    """Upgrade the schema, if the guard lets diwa-agent do it."""
    return diwa_schema(["upgrade", "--repo", "diwa-agent", *sys.argv[1:]])
