"""Errors that end a request before its response."""

from __future__ import annotations


class ClientGoneError(Exception):
    """The client closed the connection before its request had arrived."""
