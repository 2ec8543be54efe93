"""What can end a request before it has an answer."""

from __future__ import annotations


class ClientGoneError(Exception):
    """The client closed the connection before its request had arrived."""
