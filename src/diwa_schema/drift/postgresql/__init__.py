"""How PostgreSQL's catalog is read, written as SQL, and brought to what is expected."""
