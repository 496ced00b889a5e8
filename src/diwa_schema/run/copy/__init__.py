"""Copying the rows of one tenant: the transfer of values, the source of rows, and the proof of completeness."""
