"""PTX text to the records of `program.py`."""

from warpsmith.sandbox.emulator.ptx.errors import PtxSyntaxError
from warpsmith.sandbox.emulator.ptx.module import parse_module, parsed_module

__all__ = ["PtxSyntaxError", "parse_module", "parsed_module"]
