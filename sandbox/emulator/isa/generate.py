"""Writes `vm/lane_rows.inc`: the table's C++ side, one line a row.

    LANE_ROW("add.b32", u32, 2, (u32, u32), (a + b))

Name, result type, arity, argument types, expression over a, b, c, d.
`python -m warpsmith.sandbox.emulator.isa.generate` rewrites the file; a test holds it equal to the table.
"""

from __future__ import annotations

from pathlib import Path

from .lanes import lane_rows
from .row import LaneRow

TARGET = Path(__file__).resolve().parent.parent / "vm" / "lane_rows.inc"
HEADER = "// Generated from isa/*.py by isa/generate.py; change the table, not this file.\n"


def line(row: LaneRow) -> str:
    return f'LANE_ROW("{row.name}", {row.result}, {len(row.args)}, ({", ".join(row.args)}), ({row.cpp}))\n'


def text() -> str:
    return HEADER + "".join(line(row) for row in lane_rows().values())


if __name__ == "__main__":
    TARGET.write_text(text())
