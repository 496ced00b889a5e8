"""Contexts and memories over HTTP, from the database that the owner of the schema migrates."""

__version__ = "1.0.0"
