"""How SQLite's schema is read, written as SQL, and brought to what is expected."""
