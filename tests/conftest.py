"""The fixtures that every test may use; each file of them answers one question."""

# In the order in which they import each other: pytest rewrites the assertions of what it loads first.
pytest_plugins = (
    "pytester",  # runs of pytest inside a test
    "tests.fixtures_server",  # where PostgreSQL comes from
    "tests.fixtures_checkout",  # who is asking: directory, environment, command line
    "tests.fixtures_runs",  # runs in processes of their own, and what was measured
    "tests.fixtures_databases",  # which database a test works on
    "tests.fixtures_roles",  # as whom it connects
)
