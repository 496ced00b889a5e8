"""What a row is: one class per table, in three tiers."""
