"""The detection of Citus in a database, shared by the history and the runner."""

from __future__ import annotations

THERE = "to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL"
"""As SQL, whether a database of PostgreSQL has it, as coordinator or as worker."""
