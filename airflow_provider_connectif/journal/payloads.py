"""Packs the patches of a plan as text for the journal's database, encrypted if the journal stores no plain keys.

The line of a contact in an import file has no values. It has digests of the people whom the contact names besides its
key. By these, an erasure finds files that have a person under another key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Collection
from typing import Any

from airflow_provider_connectif.records.changes import Digests, Patch, conditions_of, with_conditions
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.reporting.rejects import jsonable

_PEOPLE = "people:"  # begins a text that names people instead of a patch
_DIGITS = 32


class Payloads:
    """Packs and unpacks patches.

    :param key_secret: the secret if the journal stores no plain keys. Patches are then encrypted with a key that is
        derived from it.
    :param keeps_rows: whether rows are stored with their patches, for the rejects file.
    """

    def __init__(self, key_secret: bytes | None, *, keeps_rows: bool) -> None:
        self._secret = key_secret
        self._fernet = None if key_secret is None else _fernet(key_secret)
        self._keeps_rows = keeps_rows

    def packed(self, patch: Patch) -> str:
        """Return a patch as text."""
        row = jsonable(patch.row) if self._keeps_rows else None
        before = None if patch.digests is None or patch.digests.before is None else patch.digests.before.hex()
        entries = [patch.key, patch.properties, row, patch.number, dict(patch.others), before, patch.is_new]
        text = json.dumps([*entries, conditions_of(patch)])
        return text if self._fernet is None else str(self._fernet.encrypt(text.encode()), "ascii")

    def naming(self, people: Collection[PersonKey]) -> str | None:
        """Return a text that names people by digests, to store instead of a patch; ``None`` without people."""
        return _PEOPLE + " ".join(sorted(map(self._digest, people))) if people else None

    def named_in(self, text: str, people: Collection[PersonKey]) -> set[PersonKey]:
        """Return those of some people whom a text names.

        :param text: a result of :meth:`naming`.
        """
        named = set(text.removeprefix(_PEOPLE).split(" "))
        return {person for person in people if self._digest(person) in named}

    def unpacked(self, line: Any) -> Patch:
        """Return the patch of a line of the table.

        :raises JournalError: the line cannot be decrypted, since it was stored with another secret or without one.
        """
        text = line.payload
        if self._fernet is not None:
            from cryptography.fernet import InvalidToken

            try:
                text = self._fernet.decrypt(text)
            except InvalidToken:
                raise _cannot_be_decrypted() from None
        elif not text.startswith("["):  # encrypted, as with journal_key="sha256"
            raise _cannot_be_decrypted()
        key, properties, row, *more = json.loads(text)
        # Plans of earlier versions have fewer fields. Their changes were sent in the order of the rows.
        number, others, before, is_new, conditions = more + [line.number, {}, None, False, None][len(more) :]
        digests = Digests(
            line.row_digest,
            line.patch_digest,
            line.mapping_digest,
            line.properties,
            None if before is None else bytes.fromhex(before),
        )
        patch = Patch(number, key, properties, row or {}, digests, place=line.number, is_new=is_new, others=others)
        return with_conditions(patch, conditions)

    def _digest(self, person: PersonKey) -> str:
        text = f"{person.kind}\n{person.key}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret or b"", text, "sha256").hex()[:_DIGITS]


def names_people(text: str) -> bool:
    """Whether a text is from :meth:`Payloads.naming`. Otherwise it is a patch."""
    return text.startswith(_PEOPLE)


def _fernet(secret: bytes) -> Any:
    from cryptography.fernet import Fernet

    key = hashlib.blake2b(secret, digest_size=32, person=b"connectif-plan").digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _cannot_be_decrypted() -> JournalError:
    return JournalError(
        "the stored plan cannot be decrypted, since connectif_journal_secret or journal_key was changed: "
        "restore it, then clear the task; otherwise every contact counts as new",
        final=True,
    )
