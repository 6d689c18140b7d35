"""Looking on while PyTorch computes: what a reference does, operation by operation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

Look: TypeAlias = Callable[[Any, Sequence[Any], Mapping[str, Any], Any], None]
"""(operation, arguments, arguments by keyword, what it gave), after each operation."""
Through: TypeAlias = Callable[[Any, Any, Sequence[Any], Mapping[str, Any]], Any]
"""(the context, operation, arguments, arguments by keyword) -> what the operation shall give."""


def watching(look: Look) -> AbstractContextManager[Any]:
    """A context in which `look` is told of every operation that PyTorch runs; nothing that is computed changes."""

    def told(mode: Any, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        look(func, args, kwargs, result)
        return result

    return dispatching(told)


def dispatching(through: Through) -> AbstractContextManager[Any]:
    """A context in which every operation that PyTorch runs goes through `through`.

    PyTorch hides such a context from its compiler, and loads all of that compiler for it, which takes seconds. Here it
    does so only where the compiler is loaded in any case, as by a reference that uses it.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return "torch._dynamo" in sys.modules

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return through(self, func, args, kwargs or {})

    return Mode()  # type: ignore[no-untyped-call]
