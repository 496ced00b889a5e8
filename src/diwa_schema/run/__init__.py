"""Changing a database: planning a run, and executing it without loss of data or waiting users."""
