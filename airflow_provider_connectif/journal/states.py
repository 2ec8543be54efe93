"""The states of a journal's line: how the last row of its contact that was looked at ended."""

ACKNOWLEDGED = "acknowledged"
REJECTED = "rejected"
INVALID = "invalid"
IN_DOUBT = "in_doubt"
"""Sent once, its response is not known, and sending twice is not harmless."""
