"""Looking on while PyTorch computes: what a reference does, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

Look: TypeAlias = Callable[[Any, Sequence[Any], Mapping[str, Any], Any], None]
"""(operation, arguments, arguments by keyword, what it gave), after each operation."""


def watching(look: Look) -> AbstractContextManager[Any]:
    """A context in which `look` is told of every operation that PyTorch runs; nothing that is computed changes."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            look(func, args, kwargs or {}, result)
            return result

    return Watch()  # type: ignore[no-untyped-call]
