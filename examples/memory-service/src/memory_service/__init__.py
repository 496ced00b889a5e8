"""Contexts and memories over HTTP, from the database that the owner of the schema migrates."""
