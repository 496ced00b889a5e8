"""Taking over a database that Ecto migrated."""
