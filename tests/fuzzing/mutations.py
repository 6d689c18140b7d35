"""Small damage to a text: what typing errors, truncated files, hostile candidates and mutated kernels look like."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

WORD = re.compile(r"[%$@.]?\w+|\s+|[^\w\s]")
NUMBER = re.compile(r"\b\d+\b")
EDGES = ("0", "1", "-1", "31", "32", "65536", "2147483648", "4294967295", "9223372036854775807", "1" * 40, "0x", "1e9")
MARKS = ("{", "}", "(", ")", "[", "]", ";", ",", ":", '"', "@", "!", "|", "+", "-", "/*", "//", "\\", "\0", "\n", "é")

Mutation = Callable[[random.Random, str, Sequence[str]], str]


def mutated(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """`text` with one to four mutations; `words` are those of other texts of its kind."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        text = rng.choice(MUTATIONS)(rng, text, words)
    return text


def words_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Each word that the texts hold, once."""
    return tuple(dict.fromkeys(word for text in texts for word in WORD.findall(text) if not word.isspace()))


def truncated(rng: random.Random, text: str, words: Sequence[str]) -> str:
    return text[: rng.randrange(len(text) + 1)]


def character(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """One character replaced, left out or put in."""
    at, mark = rng.randrange(len(text) + 1), rng.choice((*MARKS, chr(rng.randrange(1, 127))))
    return text[:at] + rng.choice(("", mark)) + text[at + rng.randrange(2) :]


def word(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """One word replaced by one from elsewhere, left out or doubled."""
    found = list(WORD.finditer(text))
    if not found:
        return text
    match = rng.choice(found)
    instead = rng.choice((rng.choice(words), rng.choice(found)[0], "", f"{match[0]} {match[0]}"))
    return text[: match.start()] + instead + text[match.end() :]


def alike(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """One word replaced by another of the text that begins the same way: a register by a register."""
    found = list(WORD.finditer(text))
    if not found:
        return text
    match = rng.choice(found)
    others = [other[0] for other in found if other[0][0] == match[0][0] and other[0] != match[0]]
    return text[: match.start()] + rng.choice(others or [""]) + text[match.end() :]


def number(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """One number replaced by one at which things change."""
    found = list(NUMBER.finditer(text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + rng.choice(EDGES) + text[match.end() :]


def line(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """One line left out, doubled or moved."""
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    taken = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), taken)
    return "".join(lines)


def stretch(rng: random.Random, text: str, words: Sequence[str]) -> str:
    """A stretch left out, or copied elsewhere."""
    start = rng.randrange(len(text) + 1)
    stop = start + rng.randrange(200)
    if rng.randrange(2):
        return text[:start] + text[stop:]
    at = rng.randrange(len(text) + 1)
    return text[:at] + text[start:stop] + text[at:]


MUTATIONS: tuple[Mutation, ...] = (
    truncated,
    character,
    word,
    word,
    alike,
    alike,
    alike,
    alike,
    number,
    number,
    line,
    stretch,
)
