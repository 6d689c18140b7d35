"""The known name a reader most likely meant."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, listed: int = 12) -> str:
    """Suggest the nearest of `known` ("Did you mean `cdiv`?"), or list them ("Known are: M, N, K.")."""
    names = list(dict.fromkeys(known))
    folded = {candidate.lower(): candidate for candidate in reversed(names)}
    for close in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=_ALIKE):
        if _alike(name.lower(), close):
            return f"Did you mean `{folded[close]}`?"
    if not names:
        return ""
    shown = ", ".join(names[:listed])
    return f"Known are: {shown}{f' and {len(names) - listed} more' if len(names) > listed else ''}."


_ALIKE = 0.6
_AFFIXES = (("has_", ""), ("", "_t"))
"""What names of one kind share: `has_x` and `has_y` are near by their letters, and two tensors."""


def _alike(name: str, other: str) -> bool:
    for before, after in _AFFIXES:
        if all(it.startswith(before) and it.endswith(after) for it in (name, other)):
            name, other = (it.removeprefix(before).removesuffix(after) for it in (name, other))
    return difflib.SequenceMatcher(None, name, other).ratio() >= _ALIKE


def shown(character: str) -> str:
    """A character and its name, for one that looks like another or like nothing: `−` (U+2212 MINUS SIGN)."""
    name = unicodedata.name(character, "a control character")
    picture = f"`{character}` " if character.isprintable() and not character.isspace() else ""
    return f"{picture}(U+{ord(character):04X} {name})" if picture else f"U+{ord(character):04X} {name}"
