"""The column ``invalid_digest`` of a line: the invalid rows of its contact that runs have met.

If the contact has had one invalid row, the column has its digest. For several different rows it has, in 32 characters:

- ``~``, with which no digest begins;
- how many of the rows the run in ``invalid_run`` has added: ``1`` to ``5``; or ``+`` if it has added all five, and has
  met more;
- the first six digits of the digests of up to five rows, the last one added at the end.

A sixth row takes the place of the oldest one, unless the same run has added all five. Otherwise, a contact whose only
row is invalid and changes each night would have a full column after five nights, and no later row would be new.
"""

from __future__ import annotations

from typing import NamedTuple

_SEVERAL = "~"
_MORE = "+"
_DIGITS = 6  # another row of the same contact has the same ones with a probability of 1 in 16 million
_MOST = 5


class InvalidRows(NamedTuple):
    """The invalid rows that a column has, in the order in which they were added.

    ``digests``: the digest of a single row; otherwise the first digits of each. ``added``: how many of the last ones
    the run in ``invalid_run`` has added. ``has_more``: whether that run has met more rows than the column can hold.
    """

    digests: tuple[str, ...] = ()
    added: int = 0
    has_more: bool = False

    @classmethod
    def of(cls, column: str | None) -> InvalidRows:
        """Return the rows that a column has."""
        if not column:
            return cls()
        if not column.startswith(_SEVERAL):
            return cls((column,), 1)
        mark, digits = column[1], column[2:]
        digests = tuple(digits[begin : begin + _DIGITS] for begin in range(0, len(digits), _DIGITS))
        return cls(digests, _MOST if mark == _MORE else int(mark), mark == _MORE)

    @property
    def column(self) -> str:
        """The value of the column."""
        if len(self.digests) <= 1:
            return "".join(self.digests)
        return f"{_SEVERAL}{_MORE if self.has_more else self.added}{''.join(self.digests)}"

    def has(self, digest: str) -> bool:
        """Whether the column has a row.

        :param digest: the digest of the row.
        """
        return self._as_here(digest) in self.digests

    def is_known(self, digest: str, *, is_same_run: bool) -> bool:
        """Whether a run before this one has met a row.

        If the column cannot hold all rows, every further row counts as known from the next run on.

        :param is_same_run: whether ``invalid_run`` is this run, maybe in an earlier attempt.
        """
        if not self.has(digest):
            return self.has_more and not is_same_run
        added = self.added if is_same_run else 0
        return self._as_here(digest) in self.digests[: len(self.digests) - added]

    def plus(self, digest: str, *, is_same_run: bool) -> InvalidRows:
        """Return these rows and another one, which this run adds.

        The result equals these rows if they have the row, or if they cannot have it.

        :param is_same_run: whether ``invalid_run`` is this run, maybe in an earlier attempt.
        """
        if self.has(digest) or self.has_more:
            return self
        if not self.digests:
            return InvalidRows((digest,), 1)
        added = self.added if is_same_run else 0
        if added == _MOST:
            return self._replace(has_more=True)
        digests = [some[:_DIGITS] for some in (*self.digests, digest)]
        return InvalidRows(tuple(digests[-_MOST:]), added + 1)

    def _as_here(self, digest: str) -> str:
        return digest if len(self.digests) <= 1 else digest[:_DIGITS]
