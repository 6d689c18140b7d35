"""Whether what a task file declares is of the types that `Task` and its parts ask for, before it is used."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from warpsmith.core.task import Task


@dataclass(frozen=True, slots=True)
class Mistake:
    """A field that holds something of another type."""

    where: str
    """`outputs[0].shape`."""
    value: Any
    should: str
    """`It should be a valid tuple`."""
    of: object
    """The name of what it is a field of, which stands in the file near it; None where that has no name."""

    @property
    def message(self) -> str:
        return f"{self.where} is {reprlib.repr(self.value)}. {self.should}."

    @property
    def remedy(self) -> str:
        """How tuples are written, where one is missing."""
        if not self.should.endswith("valid tuple"):
            return ""
        return f"Write ({self.value!r},)." if isinstance(self.value, str) else "Write (one, other), or (one,)."


def mistakes(task: Task) -> Iterator[Mistake]:
    """Every field of a task and of its parts that is of another type; parts of what is itself wrong are left out."""
    yield from _of_record(task, "")
    for name in ("inputs", "outputs", "verify", "bench", "checks", "properties", "baselines"):
        parts = getattr(task, name)
        for number, part in enumerate(parts if isinstance(parts, tuple) else ()):
            yield from _of_record(part, f"{name}[{number}].")
    for name in ("tolerance", "backward"):
        yield from _of_record(getattr(task, name), f"{name}.")


def _of_record(record: Any, where: str) -> Iterator[Mistake]:
    kind: type = type(record)
    for name, adapter in _adapters(kind).items():
        value = getattr(record, name)
        try:
            adapter.validate_python(dict(value) if isinstance(value, Mapping) else value, strict=True)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False):
                at, found = "".join(f"[{part!r}]" for part in item["loc"]), item["input"]
                should = item["msg"].replace("Input", "It", 1)
                yield Mistake(f"{where}{name}{at}", found, should, getattr(record, "name", None))


@cache
def _adapters(record: type) -> dict[str, TypeAdapter[Any]]:
    """By field of a record of ours what may stand there. Whatever else a field holds is that field's own mistake."""
    if record.__module__ != Task.__module__:
        return {}
    hints = get_type_hints(record)
    return {item.name: TypeAdapter(hints[item.name]) for item in fields(record)}
