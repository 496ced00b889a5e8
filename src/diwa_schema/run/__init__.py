"""Changing a database: what a run would do, and doing it so that nothing is lost and nobody waits."""
