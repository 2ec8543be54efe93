"""Patches of a plan as text in the journal's database, encrypted where no contact key may stand there in clear."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from airflow_provider_connectif.records.changes import Digests, Patch, conditions_of, with_conditions
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.reporting.rejects import jsonable


class Payloads:
    """Packs patches and unpacks them.

    :param key_secret: where the journal keeps no contact key in clear: patches are encrypted with a key made of it.
    :param keeps_rows: whether rows are kept beside their patches, for a file of refused rows.
    """

    def __init__(self, key_secret: bytes | None, *, keeps_rows: bool) -> None:
        self._fernet = None if key_secret is None else _fernet(key_secret)
        self._keeps_rows = keeps_rows

    def packed(self, patch: Patch) -> str:
        """A patch as text."""
        row = jsonable(patch.row) if self._keeps_rows else None
        before = None if patch.digests is None or patch.digests.before is None else patch.digests.before.hex()
        entries = [patch.key, patch.properties, row, patch.number, dict(patch.others), before, patch.is_new]
        text = json.dumps([*entries, conditions_of(patch)])
        return text if self._fernet is None else str(self._fernet.encrypt(text.encode()), "ascii")

    def unpacked(self, line: Any) -> Patch:
        """The patch of a line of the table.

        :raises JournalError: it was written with another secret.
        """
        text = line.payload
        if self._fernet is not None:
            from cryptography.fernet import InvalidToken

            try:
                text = self._fernet.decrypt(text)
            except InvalidToken:
                raise JournalError("the plan was written with another secret: clear the task", final=True) from None
        key, properties, row, *more = json.loads(text)
        # Plans of earlier versions end sooner; they were sent in the order of their rows.
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


def _fernet(secret: bytes) -> Any:
    from cryptography.fernet import Fernet

    key = hashlib.blake2b(secret, digest_size=32, person=b"connectif-plan").digest()
    return Fernet(base64.urlsafe_b64encode(key))
