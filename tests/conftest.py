"""The fixtures that every test may use; each file of them answers one question."""

pytest_plugins = (
    "tests.fixtures_server",  # where PostgreSQL comes from
    "tests.fixtures_databases",  # which database a test works on
    "tests.fixtures_checkout",  # who is asking: directory, environment, command line
)
