"""One database: how it is named and reached, what it can do, its lock, its version row and its ledger."""
