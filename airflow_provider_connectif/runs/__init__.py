"""A run: its stages in their order, and how it ends."""
