"""Replaces a row's values in a server's text, also where the text quotes only a part of a value.

The text is short and the row may be wide, so each word of the text is looked up in the row: the cost grows with the
length of the text, not with the number of words in the row.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.values import safe_text

LONGEST_REASON = 140
"""Characters of a reason that are shown."""
_LONGEST_SAID = 4 * LONGEST_REASON  # characters of a text that are read
_CONCEALED = "***"
_EMAIL = re.compile(r"[^\s@\"'<>(),;:]+ ?(?:@|%40) ?[^\s@\"'<>(),;:]+")  # also with blanks, as some write it
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s.()/-]*\d){4,}")
# Letters, digits, and what is neither ASCII nor punctuation: vowel signs of Indian scripts, emoji.
_WORD = re.compile(r"(?:\w|[^\x00-\xbf\s\u2000-\u206f\u3000-\u303f\uff00-\uff0f])+")
_NOT_A_DIGIT = re.compile(r"\D+")
_SEVERAL_CONCEALED = re.compile(r"\*{3}(?:[\s.,;:/@+'\u2019-]*\*{3})+")
# An apostrophe within a word is not a quotation mark.
_QUOTATION = re.compile(
    r"(?<!\w)([\"'`\u00ab\u201e\u201c\u2018\u2039\u300c])(.{1,400}?)[\"'`\u00bb\u201d\u201c\u2019\u203a\u300d](?!\w)"
)
_ELLIPSIS = r"\s?(?:\.{2,}|\u2026|\u2025|\u22ef|[\[(<{]\s?(?:\.|\u2026|cut|trunc|more)|\*{2,}|~|-{2,}|_{2,})"
_CUT_BEHIND = re.compile(_ELLIPSIS, re.IGNORECASE)
_CUT_BEFORE = re.compile(r"(?:\.{2,}|\u2026|\u2025|\u22ef|(?:\.|\u2026)[\])>}]|\*{2,}|~|-{2,}|_{2,})\s?$")
_JOINT = re.compile(r"['\u2019\u02bc`\u00b4-]")  # between the parts of a name
_SHORTEST_WORD = 3  # letters of a value's word; shorter words occur in nearly every text
_SHORTEST_PART = 4  # letters of a part of a word, if no quotation or ellipsis marks it as a part
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_MOST_ENCODINGS = 3
_DEEPEST = 3

# Words that servers use about values. Such a word is concealed if it is a word of the row, but not if it is only a part
# of one.
_COMMON_WORDS = """
    above account after allowed already also array attribute bad before belong below body boolean both cannot char
    character characters contact contacts contain contains could country custom data date decimal default digit
    digits does domain duplicate duplicated email empty error exceed exceeds exist existing exists expected expects
    external fail failed false field fields format found from future given greater have html http https incorrect
    input integer into invalid item items json least length less letter letters like limit line list long longer
    match matches maximum minimum missing mobile more most must name names none null number numbers object only
    option options other over past path pattern phone please possible property properties range read readable reason
    received request required response same schema seems send sent server should small smaller some status string
    such taken than that then there they this time title token true type types under unique unknown unprocessable
    update used user valid validation value values when where which with within without word words wrong year zero
    all and any are but can did end few for got had has its led let log low map max may min new nor not now off old one
    our out own per put raw row run say see set tag the too try two url use was who why yes yet you
"""
_COMMON = frozenset(_COMMON_WORDS.split())


class _Token(NamedTuple):
    """A word of a text: its position, and the form in which it is compared."""

    start: int
    end: int
    folded: str


class Concealer:
    """Replaces the values of a row in texts.

    It conceals: the row's values and their words of three letters or more; parts of these words that are quoted, that
    are next to an ellipsis, or that have four letters or more (three at the beginning of the word); a whole quotation
    if one of its words is concealed; and all e-mail addresses and long numbers. It never conceals property ids and
    column names.

    :param patch: a change with its row.
    """

    def __init__(self, patch: Patch) -> None:
        texts = {patch.key, *_texts(patch.whole.values()), *_texts(patch.row.values())}
        folded = "\n".join(texts).casefold()
        short = [text for text in texts if text.strip() and len(text) <= _LONGEST_SAID]
        # Phone numbers and dates without the characters between their digits.
        digits = {_NOT_A_DIGIT.sub("", text) for text in short}
        self._haystack = "\n".join([folded, *sorted(digits)])
        self._by_first_word: dict[str, list[tuple[str, ...]]] = {}
        self._foreign: list[str] = []  # in scripts that may have no spaces between words
        for text in short:
            words = tuple(match.group().casefold() for match in _WORD.finditer(text))
            if words:
                self._by_first_word.setdefault(words[0], []).append(words)
            if not text.isascii() and len(words) == 1 and len(words[0]) > 1:
                self._foreign.append(words[0])
        # Property ids and columns are not personal data, and a reason says little without them.
        self._public = {name.casefold() for name in (*patch.whole, *map(str, patch.row))}
        self._known: dict[tuple[str, bool], bool] = {}

    def __call__(self, said: str) -> str:
        """Return the beginning of a text without the row's values, at least as long as a reason that is shown."""
        text = " ".join(_decoded(said[:_LONGEST_SAID]).split())
        text = _LONG_NUMBER.sub(_CONCEALED, _EMAIL.sub(_CONCEALED, text))
        shown, done = "", 0
        for quotation in _QUOTATION.finditer(text):
            shown += self._without_values(text[done : quotation.start(2)], is_quoted=False, room=len(shown))
            inside = self._without_values(quotation.group(2), is_quoted=True, room=0)
            shown += _CONCEALED if inside != quotation.group(2) else inside
            done = quotation.end(2)
            if len(shown) > LONGEST_REASON:
                break
        else:
            shown += self._without_values(text[done:], is_quoted=False, room=len(shown))
        return _SEVERAL_CONCEALED.sub(_CONCEALED, shown)

    def _without_values(self, text: str, *, is_quoted: bool, room: int) -> str:
        """Return a part of a text without the row's values; text beyond the length that is shown may be missing.

        :param room: number of characters before it.
        """
        tokens = [_Token(match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text)]
        shown, done, place = "", 0, 0
        begun = -1  # start of the words that are concealed up to here
        while place < len(tokens) and room + len(shown) <= 2 * LONGEST_REASON:
            token = tokens[place]
            words = self._words_of_a_value(tokens, place)
            if not words and self._is_of_the_row(text, token, is_quoted):
                words = 1
            if not words and self._is_joined_part(text, tokens, place):
                words = 2
            if not words and begun >= 0 and text[begun : token.end].casefold() in self._haystack:
                words = 1  # too short by itself, but it continues the concealed word before it
            if words:
                begun = token.start if begun < 0 else begun
                shown += text[done : token.start] + _CONCEALED
                done = tokens[place + words - 1].end
            else:
                begun = -1
                shown += text[done : token.end]
                done = token.end
            place += max(1, words)
        return shown + (text[done:] if place == len(tokens) else "")

    def _words_of_a_value(self, tokens: list[_Token], place: int) -> int:
        """Return how many words, beginning at ``place``, form a whole value; 0 if none do."""
        longest = 0
        for words in self._by_first_word.get(tokens[place].folded, ()):
            found = tuple(token.folded for token in tokens[place : place + len(words)])
            if found == words and " ".join(words) not in self._public:
                longest = max(longest, len(words))
        return longest

    def _is_joined_part(self, text: str, tokens: list[_Token], place: int) -> bool:
        """Whether two short words joined by a mark, such as ``O'Br``, are a part of a value."""
        if place + 1 == len(tokens) or not _JOINT.fullmatch(text, tokens[place].end, tokens[place + 1].start):
            return False
        joined = text[tokens[place].start : tokens[place + 1].end].casefold()
        return len(joined) >= _SHORTEST_PART and not joined.isdecimal() and joined in self._haystack

    def _is_of_the_row(self, text: str, token: _Token, is_quoted: bool) -> bool:
        if token.folded in self._public or not token.folded.strip("_"):
            return False
        is_part = (is_quoted and len(token.folded) > 1) or bool(
            _CUT_BEHIND.match(text, token.end) or _CUT_BEFORE.search(text, max(0, token.start - 8), token.start)
        )
        asked = (token.folded, is_part)
        if asked not in self._known:
            self._known[asked] = self._looked_up(token.folded, is_part)
        return self._known[asked]

    def _looked_up(self, word: str, is_part: bool) -> bool:
        if is_part:
            return word in self._haystack
        if len(word) >= _SHORTEST_PART and word not in _COMMON and not word.isdigit():
            if word in self._haystack:
                return True
        elif len(word) >= _SHORTEST_WORD and self._has_word(word, or_beginning=word not in _COMMON):
            return True
        return not word.isascii() and any(value in word for value in self._foreign)

    def _has_word(self, word: str, *, or_beginning: bool) -> bool:
        """Whether a word is a whole word of the row, or with ``or_beginning`` the beginning of one."""
        found = self._haystack.find(word)
        while found >= 0:
            end = found + len(word)
            before, behind = self._haystack[found - 1 : found], self._haystack[end : end + 1]
            if not _WORD.match(before) and (or_beginning or not _WORD.match(behind)):
                return True
            found = self._haystack.find(word, end)
        return False


def _texts(values: Iterable[Any], depth: int = 0) -> Iterator[str]:
    for value in values:
        if value is None or isinstance(value, bool):
            continue
        if isinstance(value, (list, tuple, set, frozenset)):
            if depth < _DEEPEST:
                yield from _texts(value, depth + 1)
        else:
            text = safe_text(value)
            yield (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def _escaped(escapes: re.Match[str]) -> str:
    """Return the characters of JSON escapes; JSON uses two escapes for one character outside the Basic Multilingual
    Plane.
    """
    units = bytes.fromhex(escapes.group().replace("\\u", ""))
    return units.decode("utf-16-be", "replace")


def _decoded(said: str) -> str:
    """Return a text with the encodings of URLs, HTML and JSON resolved, so that quoted values are found."""
    for _ in range(_MOST_ENCODINGS):
        plain = _ESCAPE.sub(_escaped, html.unescape(unquote(said)))
        if plain == said:
            break
        said = plain
    return unicodedata.normalize("NFC", said)
