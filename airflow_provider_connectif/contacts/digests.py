"""Digests of rows and patches: how the journal knows that nothing changed without keeping a value."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_connectif.contacts.mapping import ContactMapping

_RULES_VERSION = b"1"  # to be raised when a rule changes what is sent; then every row is looked at once more
_SIZE = 16  # bytes; a hundred million lines collide with a probability below 1e-22


def mapping_digest(mapping: ContactMapping) -> str:
    """Changes when the mapping, or a field definition that it uses, does."""
    ids = mapping.properties if mapping.properties is not None else mapping.fields.ids
    parts = (
        mapping.key,
        mapping.key_column,
        None if mapping.properties is None else list(mapping.properties.items()),
        mapping.nulls,
        mapping.default_region,
        [repr(mapping.fields.get(property_id)) for property_id in ids],
    )
    return hashlib.blake2b(
        repr(parts).encode("utf-8", "surrogatepass"), key=_RULES_VERSION, digest_size=_SIZE
    ).hexdigest()


def row_digester(mapping: ContactMapping) -> Callable[[Mapping[str, Any]], str]:
    """A function that digests the columns of a row that the mapping uses, before any of them is looked at closely.

    Two rows of the same digest are sent alike. The reverse need not hold: a driver that hands over the same value
    in another type changes the digest, and then the patch decides.
    """
    seed = bytes.fromhex(mapping_digest(mapping))
    columns = None if mapping.properties is None else tuple(mapping.properties.values())

    def digest(row: Mapping[str, Any]) -> str:
        values = [*row.items()] if columns is None else [row.get(column, ...) for column in columns]
        text = repr(values).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=seed, digest_size=_SIZE).hexdigest()

    return digest


def patch_digest(properties: Mapping[str, Any]) -> str:
    """A digest of what is sent; the order of properties does not matter."""
    text = json.dumps(properties, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_SIZE).hexdigest()


def key_digester(secret: bytes | None) -> Callable[[str], str]:
    """How a contact key is written into the journal: as it is, or as HMAC-SHA256 with a secret."""
    if secret is None:
        return lambda key: key
    return lambda key: hmac.new(secret, key.encode(), hashlib.sha256).hexdigest()
