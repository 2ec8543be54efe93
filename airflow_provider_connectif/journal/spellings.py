"""The spelling in which a contact's key was sent.

The journal has one form for all spellings of a key, such as an e-mail address in lower case. It is not documented
whether Connectif does the same. So the column ``spelling`` of a line has the key as Connectif accepted it last: empty
if it is the form of the journal, ``NULL`` if it is not known, as in lines of earlier versions and where keys are stored
as HMACs. Later requests use this spelling, whatever the source writes, so that a contact stays one contact.
"""

from __future__ import annotations


def spelling_of(contact: str, sent: str, *, is_plain: bool) -> str | None:
    """Return the value of the column.

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
    :param spelling: the value of the column.
    """
    return contact if spelling == "" else spelling
