"""Nights in which everything dies at random moments: ``make chaos SEEDS=50``. :mod:`night` says what a night is."""
