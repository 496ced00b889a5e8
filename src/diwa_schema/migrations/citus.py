"""By what Citus is known in a database: both the history and the runner ask, so it stands below both."""

from __future__ import annotations

THERE = "to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL"
"""As SQL, whether a database of PostgreSQL has it, as coordinator or as worker."""
