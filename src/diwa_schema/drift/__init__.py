"""The shape of a database: reading its catalog, comparing it with the expected one, and fixing it."""
