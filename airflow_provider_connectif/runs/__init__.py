"""A run: its stages in order, and its end."""
