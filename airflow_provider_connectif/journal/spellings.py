"""The spelling in which a contact's key was sent.

The journal has one form for all spellings of a key, such as an e-mail address in lower case. It is not documented
whether Connectif treats all spellings as one key. So the column ``spelling`` of a line has the key as Connectif
accepted it last. It is empty if that is the journal's form. It is ``NULL`` if it is not known: in lines of earlier
versions, and for all other spellings if keys are stored as HMACs. Later requests use this spelling, whatever spelling
the source has. So a contact stays one contact.
"""

from __future__ import annotations


def spelling_of(contact: str, sent: str, *, is_plain: bool) -> str | None:
    """Return the value of the column ``spelling``: empty, the key as it was sent, or ``None`` if it may not be stored.

    :param contact: the key in the journal's form.
    :param sent: the key as it was sent.
    :param is_plain: whether the journal stores keys unchanged.
    """
    if sent == contact:
        return ""
    return sent if is_plain else None


def sent_key(contact: str, spelling: str | None) -> str | None:
    """Return the key as it was sent last; ``None``: it is not known.

    :param contact: the key in the journal's form.
    :param spelling: the value of the column ``spelling``.
    """
    return contact if spelling == "" else spelling
