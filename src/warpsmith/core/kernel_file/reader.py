"""Typed access to the tables of a head block; every complaint stands at the key it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file.head import Head
from warpsmith.core.nearest import did_you_mean


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the head block: `[tune]`, or the `index`-th `[[launch]]`."""

    head: Head
    name: str
    index: int
    values: Mapping[str, Any]

    @property
    def shown(self) -> str:
        return f"[[{self.name}]]" if self.name in ("buffer", "launch", "prepare", "tensormap") else f"[{self.name}]"

    @property
    def line(self) -> int:
        return self.head.place(self.name, self.index).line

    def fail(self, message: str, remedy: str = "", key: str = "", literal: str | None = None) -> KernelFileError:
        place = self.head.place(self.name, self.index, key, literal)
        return KernelFileError(message, remedy=remedy, line=place.line, column=place.column)

    def only(self, known: Iterable[str], elsewhere: Mapping[str, str], renamed: Mapping[str, str]) -> None:
        """Refuse a key outside `known`; `elsewhere` says where a key belongs, `renamed` what it is called."""
        known = tuple(known)
        for key in self.values:
            if key in known:
                continue
            where = f" in {self.shown}" if self.name else ""
            if key in renamed and renamed[key] in known:
                remedy = f"It is called `{renamed[key]}`."
            elif key in elsewhere:
                remedy = elsewhere[key]
            else:
                remedy = did_you_mean(key, known, listed=20)
            raise self.fail(f"There is no key `{key}`{where}.", remedy, key)

    def text(self, key: str, example: str) -> str:
        """A required, non-empty string."""
        value = self.values.get(key)
        if value is None:
            raise self.fail(
                f"{self.shown if self.name else 'The head block'} has no `{key}`.", f"Add `{key} = {example}`."
            )
        if not isinstance(value, str) or not value.strip():
            raise self.fail(f"`{key}` must be a string.", f"Write `{key} = {example}`.", key)
        return value.strip()

    def names(self, key: str, example: str) -> tuple[str, ...]:
        """A list of strings, empty where the key is absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(f"`{key}` must be a list of strings.", f"Write `{key} = {example}`.", key)
        if len(set(value)) != len(value):
            raise self.fail(f"`{key}` names something twice.", "Name each once.", key)
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.fail(f"`{key}` must be true or false.", f"Write `{key} = true`.", key)
        return value

    def table(self, key: str, example: str) -> dict[str, Any]:
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.fail(f"`{key}` must be a table.", f"Write `{key} = {example}`.", key)
        return value

    def expression(self, key: str) -> Expression | None:
        """An integer or an expression in quotes; None where the key is absent."""
        return self.parse(self.values[key], key) if key in self.values else None

    def extents(self, key: str, most: int, example: str) -> tuple[Expression, ...]:
        """One extent, or a list of up to `most`."""
        value = self.values.get(key)
        if value is None:
            raise self.fail(f"{self.shown} has no `{key}`.", f"Add `{key} = {example}`.")
        items = value if isinstance(value, list) else [value]
        if len(items) > most or (not items and key != "shape"):
            raise self.fail(
                f"`{key}` has {len(items)} extents; 1 to {most} are allowed.", f"Write `{key} = {example}`.", key
            )
        return tuple(self.parse(item, key) for item in items)

    def parse(self, value: object, key: str) -> Expression:
        """Parse one value of `key`, placed at its own characters where they can be found."""
        if isinstance(value, bool) or not isinstance(value, int | str):
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            message = f"`{key}` holds {shown[:40]}, which is neither an integer nor an expression in quotes."
            raise self.fail(message, f'Write `{key} = 256` or `{key} = "cdiv(N, 256)"`.', key)
        place = self.head.place(self.name, self.index, key, value if isinstance(value, str) else None)
        return Expression.parse(str(value), line=place.line, column=place.column)
