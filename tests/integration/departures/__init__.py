"""Tests of contacts that leave the source, and of those that come back."""
