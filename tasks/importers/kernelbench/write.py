"""Writes the task file of a problem: Python to read and to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from warpsmith.tasks.importers.kernelbench.facts import Facts, Names, dtype_name, floats, names_of
from warpsmith.tasks.importers.kernelbench.texts import Texts

UNITS = {"float32": "fp32", "float64": "fp64", "float16": "fp16", "bfloat16": "bf16"}
FLOORS = {"float32": "floor=2e-5, floor_largest=1e-4", "float64": "floor=1e-12, floor_largest=1e-11"}
WIDTH = 116
"""Of a line that is not the problem's own."""


def task_text(facts: Facts) -> str:
    """The task file.

    Raises:
        TaskError: an extent is no expression of the sizes that is known, or a dtype none that kernels have.
    """
    names = names_of(facts)
    texts = Texts(facts, names)
    dtype = dtype_name(facts.probe.dtype, "its floating tensors")
    kinds = zip(names.arguments, facts.kinds.arguments, strict=True)
    scaled = [name for name, kind in kinds if name and floats(kind) and texts.shapes[name] != "()"]
    title = facts.source.title or facts.name.replace("_", " ")
    return "\n\n\n".join(
        [
            _opening(facts, title, mixed=bool(scaled)),
            facts.source.function().rstrip("\n"),
            _constants(facts, names),
            _reference(facts, names),
            _distribution(dtype),
            *([_mixed(scaled)] if scaled else []),
            _cost(texts, UNITS[dtype]),
            _task(facts, names, texts, title, dtype, mixed=bool(scaled)),
        ]
    )


def _opening(facts: Facts, title: str, *, mixed: bool) -> str:
    return f'''"""{title}.

Imported from {facts.source.path.name}, a problem in KernelBench's form.
`problem` is the code of that file and stays under its licence; a kernel computes all of `Model.forward`.
All of this may be changed.
"""

{facts.source.imports}

from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Tolerance, Workload
from warpsmith.tasks.problem import Problem, draw, evaluate{", of_mixed_size" if mixed else ""}'''


def _constants(facts: Facts, names: Names) -> str:
    dims = [f'"{names.dims[name]}"' for name in facts.source.sizes]
    arguments = [f'"{name}"' for name in names.arguments]
    state = [f'"{name}": "{path}"' for name, path in names.state.items()]
    return f'''{_list("SIZES = (", dims, ")")}
"""In the order that `problem` takes them."""
{_list("ARGUMENTS = (", arguments, ")")}
{_list("STATE = {", state, "}")}
"""Parameters and buffers that the result depends on, by their names here and in the module."""'''


def _reference(facts: Facts, names: Names) -> str:
    dims = [names.dims[name] for name in facts.source.sizes]
    tensors = [name for name in names.arguments if name]
    given = [name or repr(kind) for name, kind in zip(names.arguments, facts.kinds.arguments, strict=True)]
    state = [f'"{path}": {name}' for name, path in names.state.items()]
    return "\n".join(
        [
            _list("def reference(", [*tensors, *names.state, *dict.fromkeys(dims)], "):"),
            _list("    sizes = (", dims, ")"),
            _list("    state = {", state, "}"),
            _list("    return evaluate(problem, sizes, state, (", given, "))"),
        ]
    )


def _distribution(dtype: str) -> str:
    return f'''def as_written(dims, generator):
    """What get_inputs draws, and what Model initialises its parameters with; those made all alike get some noise."""
    sizes = [dims[name] for name in SIZES]
    return draw(problem, sizes, generator, inputs=ARGUMENTS, state=STATE, dtype=torch.{dtype})'''


def _mixed(names: Sequence[str]) -> str:
    listed = _list("    scaled = (", [f'"{name}"' for name in names], ")")
    return f'''def mixed_rows(dims, generator):
    """The same, rows of the arguments scaled: a kernel that drops or mixes rows cannot hide."""
{listed}
    return of_mixed_size(as_written(dims, generator), scaled, generator)'''


def _cost(texts: Texts, unit: str) -> str:
    known = "".join(f'    {name} = dims["{name}"]\n' for name in texts.free)
    moved = "\n".join(f"    moved += {item}" for item in texts.bytes)
    flops = "\n".join(f"    flops += {item}" for item in texts.flops)
    return f'''def cost(dims):
    """Products, or one operation an element read; every tensor moved once. Lower it where algebra saves some work."""
{known}    flops = moved = 0
{flops}
{moved}
    return Cost(flops=flops, bytes=moved, unit="{unit}")'''


def _task(facts: Facts, names: Names, texts: Texts, title: str, dtype: str, *, mixed: bool) -> str:
    dims = [f'"{name}"' for name in dict.fromkeys(names.dims[name] for name in facts.source.sizes)]
    fixed = "    # The same at every workload; kernels may compile them in.\n" if texts.fixed else ""
    constraints = [f'"{text}"' for text in texts.constraints]
    makers = '"as written": as_written' + (', "mixed rows": mixed_rows' if mixed else "")
    label = "as in the file, made smaller" if facts.halved else "as in the file"
    bench = _workload(label, facts.bench, names, '"as written"', f"source={_literal(_origin(facts))}")
    return f'''TASK = Task(
    name="{facts.name}",
    family="kernelbench",
    summary={_literal(title)},
{_list("    dims=(", dims, "),")}
{fixed}{_list("    fixed=(", [f'"{name}"' for name in texts.fixed], "),")}
{_list("    constraints=(", constraints, "),")}
    inputs=(
{texts.inputs}    ),
    outputs=(
{texts.outputs}    ),
    reference=reference,
    make_inputs={{{makers}}},
    verify=(
{_workloads(facts, names, mixed=mixed)}    ),
    bench=(
{bench}
    ),
    cost=cost,
    tolerance=Tolerance({FLOORS.get(dtype, "floor=1e-3, floor_largest=4e-3")}),
)
'''


def _origin(facts: Facts) -> str:
    times = Counter(facts.halved)
    how = ", ".join(f"{name} halved {count} times" if count > 1 else f"{name} halved" for name, count in times.items())
    return f"{facts.source.path.name}{': ' + how if how else ''}"


def _workloads(facts: Facts, names: Names, *, mixed: bool) -> str:
    """Two of three have rows of mixed size, where there are rows."""
    lines = []
    for number, chosen in enumerate(facts.verify):
        maker = "mixed rows" if mixed and number % 3 else "as written"
        lines.append(_workload(chosen.name, chosen.sizes, names, f'"{maker}"') + "\n")
    return "".join(lines)


def _workload(name: str, sizes: Mapping[str, int], names: Names, *rest: str) -> str:
    bound = {names.dims[size]: value for size, value in sizes.items()}
    dims = ", ".join(f'"{dim}": {value}' for dim, value in bound.items())
    return _list("        Workload(", [f'"{name}"', f"{{{dims}}}", *rest], "),")


def _list(opening: str, items: Sequence[str], closing: str) -> str:
    """On one line where that is short enough, else an item a line."""
    comma = "," if len(items) == 1 and opening.endswith(("= (", "=(", ", (")) else ""
    line = f"{opening}{', '.join(items)}{comma}{closing}"
    if len(line.rstrip()) <= WIDTH or not items:
        return line
    margin = " " * (len(opening) - len(opening.lstrip()))
    return f"{opening.rstrip()}\n" + "".join(f"{margin}    {item},\n" for item in items) + f"{margin}{closing}"


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
