"""The kinds of change beside upgrade and downgrade: each decides what is to be done, and does it."""
