"""Who may change a schema: the evidence, the verdict, and what a refusal says."""
