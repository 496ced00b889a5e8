"""Reading SQLite's schema, writing it as SQL, and fixing it."""
