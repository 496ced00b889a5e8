"""What a database looks like: reading its catalog, comparing it with what is expected, taking it over."""
