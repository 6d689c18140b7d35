"""A kernel's text beside what each line cost, and beside its parent's text: tables, ready to be put into a page.

Made here and not by a template, which takes five times as long for a thousand lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

from markupsafe import Markup, escape

from warpsmith.leaderboard.site.profiles import ProfileShown

MOST_BYTES = 260_000
"""Of a text's rows on a page; a difference takes half as many."""
MOST_COMPARED = 4000
"""Lines of one text that are compared with another's."""
MOST_COLUMNS = 400
"""Characters of one line that a page shows."""


def annotated(text: str, profile: ProfileShown | None) -> Markup:
    """Rows of a table: each line's number and text and, with a profile, its shares of instructions and of sectors."""
    lines = enumerate(map(_line, text.splitlines()), 1)
    if profile is None:
        rows = (f'<tr><td class="n">{number}</td><td>{line}</td></tr>' for number, line in lines)
    else:
        rows = (_row(number, line, profile) for number, line in lines)
    return _table(rows, MOST_BYTES, '<tr><td class="n"></td><td>… more lines are in the kernel\'s file</td></tr>')


def _line(text: str) -> str:
    """Escaped, and no longer than a page can hold."""
    return str(escape(text if len(text) <= MOST_COLUMNS else f"{text[:MOST_COLUMNS]} …"))


def _table(rows: Iterable[str], most: int, rest: str) -> Markup:
    """As many rows as fit, and a word on the rest."""
    kept, size = list[str](), 0
    for row in rows:
        size += len(row) if row.isascii() else len(row.encode())
        if size > most:
            kept.append(rest)
            break
        kept.append(row)
    return Markup("".join(kept))  # noqa: S704 - each row's text was escaped


def _row(number: int, line: str, profile: ProfileShown) -> str:
    issued, moved = profile.issued.get(number, 0.0), profile.moved.get(number, 0.0)
    heat = min(5, int(max(issued, moved) * 25))
    kind = f' class="h{heat}"' if heat else ""
    cells = f'<td class="n">{number}</td><td class="n">{_share(issued)}</td><td class="n">{_share(moved)}</td>'
    return f"<tr{kind}>{cells}<td>{line}</td></tr>"


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 else ""


_KINDS = {"+": "added", "-": "removed", "@": "place"}
_SIGNS = {"added": "+", "removed": "\u2212"}


def difference(before: str, after: str) -> Markup:
    """Rows of a table: what changed between two texts, with three lines around each change; empty where nothing did."""
    found = difflib.unified_diff(_split(before), _split(after), lineterm="", n=3)
    rows = (_changed(line) for line in islice(found, 2, None))
    return _table(rows, MOST_BYTES // 2, '<tr class="place"><td class="n"></td><td>… more has changed</td></tr>')


def _split(text: str) -> list[str]:
    """Lines to compare; what a page cannot hold anyway is left out, since the time grows with the square."""
    return text[:MOST_BYTES].splitlines()[:MOST_COMPARED]


def _changed(line: str) -> str:
    kind = _KINDS.get(line[:1], "same")
    text = _line(line if kind == "place" else line[1:])
    return f'<tr class="{kind}"><td class="n">{_SIGNS.get(kind, "")}</td><td>{text}</td></tr>'
