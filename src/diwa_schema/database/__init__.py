"""One database: its name and connection, its capabilities, its lock, its version row and its ledger."""
