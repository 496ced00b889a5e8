"""Checks whether a database is fit for its application, from the application's point of view."""
