"""All kinds of change: each module decides what to do, and does it."""
