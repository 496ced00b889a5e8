"""Reading PostgreSQL's catalog, writing it as SQL, and fixing it."""
