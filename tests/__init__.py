"""Mirrors src/diwa_schema: one folder for each of its folders, one file for each of its modules."""
