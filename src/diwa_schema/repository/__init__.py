"""The checks of a repository: its identity and its contents, read from one checkout and its git."""
