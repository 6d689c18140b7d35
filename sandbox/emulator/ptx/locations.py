"""From `.file` and `.loc` to lines of the candidate's own source."""

from __future__ import annotations

from warpsmith.sandbox.emulator.ptx.lexer import END, NUMBER, STRING, Cursor
from warpsmith.sandbox.emulator.ptx.literals import constant, number

_Place = tuple[int, int, int]


class Locations:
    """Follows the `.loc` directives of a module in the order of the text.

    A location in a header counts as the line of the candidate it was inlined into; the compiler prints the
    chain of `inlined_at` outermost first, so each link has been seen before it is referred to.
    """

    def __init__(self, cursor: Cursor, source: str) -> None:
        self._own = _files_named(cursor, source)
        self._resolved: dict[_Place, tuple[int, int]] = {}
        self._lines: dict[str, tuple[_Place, _Place | None]] = {}
        self._line_cursor = Cursor("", by_line=True)
        self.line = self.column = 0

    def enter_function(self) -> None:
        self._resolved.clear()
        self.line = self.column = 0

    def read(self, cursor: Cursor) -> None:
        """Take what follows `.loc`."""
        self._note(*self._taken(cursor))

    def read_line(self, line: str) -> None:
        """Take a `.loc` that is a whole line. A text has thousands of these, and few different ones."""
        found = self._lines.get(line)
        if found is None:
            cursor = self._line_cursor
            cursor.enter(line)
            cursor.at = 1
            found = self._lines[line] = self._taken(cursor)
            if cursor.kinds[cursor.at] != END:
                raise cursor.unexpected("the end of the line")
        self._note(*found)

    def _taken(self, cursor: Cursor) -> tuple[_Place, _Place | None]:
        """(place, what it was inlined into)."""
        place = _place(cursor)
        inlined: _Place | None = None
        while cursor.take(","):
            word = cursor.name("function_name or inlined_at")
            if word == "inlined_at":
                inlined = _place(cursor)
            elif word == "function_name":
                cursor.name("a label")
                if cursor.take("+"):
                    constant(cursor)
            else:
                raise cursor.error(f"unknown attribute {word} of .loc", cursor.at - 1)
        return place, inlined

    def _note(self, place: _Place, inlined: _Place | None) -> None:
        file, line, column = place
        if file in self._own:
            # Line 0 is code the compiler made up; it belongs to what stands before it.
            found = (line, column) if line else (self.line, self.column)
        elif inlined is None:
            found = (0, 0)
        elif inlined[0] in self._own:
            found = inlined[1:]
        else:
            found = self._resolved.get(inlined, (0, 0))
        self.line, self.column = self._resolved[place] = found


def _place(cursor: Cursor) -> _Place:
    """Take file, line and column."""
    return number(cursor).bits, number(cursor).bits, number(cursor).bits


def _files_named(cursor: Cursor, source: str) -> frozenset[int]:
    """Numbers of the `.file` directives, which stand at the end of the text, whose last path part is `source`.

    `source` may leave the suffix out.
    """
    numbers = set()
    at = -1
    for _ in range(cursor.words.count(".file")):
        at = cursor.words.index(".file", at + 1)
        if cursor.kinds[at + 1] == NUMBER and cursor.kinds[at + 2] == STRING:
            path = cursor.words[at + 2][1:-1].replace("\\", "/")
            name = path.rpartition("/")[2]
            if source in (name, name.rpartition(".")[0]) and cursor.words[at + 1].isdecimal():
                numbers.add(int(cursor.words[at + 1][:9]))
    return frozenset(numbers)
