"""Copying the rows of one tenant: how a value travels, where rows come from, and proof that all of them came."""
