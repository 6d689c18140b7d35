"""Names of one `{ … }`: registers, variables and labels. Inner scopes hide outer ones."""

from __future__ import annotations

from warpsmith.sandbox.emulator.program import Operand, Register, Variable, Vector
from warpsmith.sandbox.emulator.ptx import wide

MAX_DEPTH = 64


class RegisterTable:
    """The registers an entry uses, numbered in order of first use.

    `.reg .b32 %r<1000000>` declares a family; only its members that occur become registers.
    """

    def __init__(self) -> None:
        self.registers: list[Register] = []

    def add(self, name: str, type_: str) -> Register:
        register = Register(len(self.registers), name, type_)
        if type_ == wide.TYPE:
            halves = wide.halves(register)
            assert isinstance(halves, Vector)
            self.registers += [half for half in halves.items if isinstance(half, Register)]
        else:
            self.registers.append(register)
        return register


class Scope:
    """One pair of braces in an entry's body."""

    __slots__ = (
        "_families",
        "_own",
        "_singles",
        "_table",
        "branch_tables",
        "depth",
        "known",
        "labels",
        "operands",
        "parent",
        "variables",
    )

    def __init__(self, table: RegisterTable, parent: Scope | None) -> None:
        self._table = table
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self._singles: dict[str, str] = {}
        self._families: dict[str, tuple[int, str]] = {}
        self._own: dict[str, Register] = {}
        self.known: dict[str, Register | None] = {}
        """What names meant here so far."""
        self.operands: dict[str, Operand] = {}
        """What the texts of operands without symbols meant here so far."""
        self.variables: dict[str, Variable] = {}
        self.labels: dict[str, int] = {}
        """Label to the index of the instruction that follows it."""
        self.branch_tables: dict[str, tuple[str, ...]] = {}

    def declare(self, name: str, type_: str, count: int | None) -> bool:
        """Declare a register, or a family of `count`; False where the name is taken in this scope.

        `.reg .u32 sign, sign<2>;` declares `sign`, `sign0` and `sign1`: no name twice.
        """
        self.known.clear()
        self.operands.clear()
        taken = name in (self._singles if count is None else self._families) or name in self.variables
        if count is None:
            self._singles[name] = type_
        else:
            self._families[name] = (count, type_)
        return not taken

    def register(self, name: str) -> Register | None:
        """The register that `name` means here; None where it means something else."""
        if name in self.known:
            return self.known[name]
        scope: Scope | None = self
        found: Register | None = None
        while scope is not None and name not in scope.variables:
            type_ = scope._declared(name)
            if type_ is not None:
                found = scope._own.get(name)
                if found is None:
                    found = scope._own[name] = self._table.add(name, type_)
                break
            scope = scope.parent
        self.known[name] = found
        return found

    def _declared(self, name: str) -> str | None:
        single = self._singles.get(name)
        if single is not None:
            return single
        start = len(name.rstrip("0123456789"))
        # `%f1<3>` declares %f10, %f11 and %f12, so every split of the digits is a candidate.
        while start < len(name):
            family = self._families.get(name[:start])
            if family is not None:
                digits = name[start:]
                plain = digits[0] != "0" or digits == "0"
                if plain and len(digits) <= 10 and int(digits) < family[0]:
                    return family[1]
            start += 1
        return None

    def variable(self, name: str) -> Variable | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.variables:
                return scope.variables[name]
            scope = scope.parent
        return None

    def label(self, name: str) -> int | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.labels:
                return scope.labels[name]
            scope = scope.parent
        return None

    def branch_table(self, name: str) -> tuple[str, ...] | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.branch_tables:
                return scope.branch_tables[name]
            scope = scope.parent
        return None
