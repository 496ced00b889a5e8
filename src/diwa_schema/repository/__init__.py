"""Which repository is this, and may it hold what it holds? One checkout, read from its files and its git."""
