"""What the parser says when a text is not PTX it can represent."""

from __future__ import annotations


class PtxSyntaxError(Exception):
    """The text is not PTX, or uses a form that `program.py` cannot represent."""

    def __init__(self, message: str, ptx_line: int, column: int) -> None:
        super().__init__(f"PTX line {ptx_line}, column {column}: {message}")
        self.message, self.ptx_line, self.column = message, ptx_line, column
