"""Loading task files: what is shipped, and what a user's file gets wrong."""

from pathlib import Path

import pytest

from warpsmith.core.errors import TaskError
from warpsmith.tasks.find import find_tasks
from warpsmith.tasks.load import load_task

GOOD = """
import torch
from warpsmith.tasks import Cost, Output, Task, Tensor, Tolerance, Workload

def reference(a, b):
    return a + b

def normal(dims, generator):
    return {name: torch.randn(dims["N"], generator=generator) for name in "ab"}

def cost(dims):
    return Cost(flops=dims["N"], bytes=12 * dims["N"], unit="fp32")

TASK = Task(
    name="add", family="mine", summary="y = a + b", dims=("N",),
    inputs=(Tensor("a", ("N",), "float32"), Tensor("b", ("N",), "float32")),
    outputs=(Output("y", ("N",), "float32"),),
    reference=reference, make_inputs={"normal": normal},
    verify=(Workload("odd", {"N": 77}, "normal"),), bench=(Workload("large", {"N": 4096}, "normal"),),
    cost=cost, constraints=("N >= 1",),
)
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_every_shipped_task_loads() -> None:
    found = find_tasks()
    assert ("w4a16_gemm", "quantized_gemm") in [(task.name, task.family) for task in found]
    assert [task.name for task in found] == [load_task(task.name).name for task in found]


def test_a_users_file_loads_by_path_with_path_and_digest(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    task = load_task(path)
    assert (str(path), 64) == (task.path, len(task.source_digest))


def test_the_digest_follows_the_text(tmp_path: Path) -> None:
    before = load_task(written(tmp_path, GOOD))
    after = load_task(written(tmp_path, GOOD.replace("a + b", "a - b")))
    assert before.source_digest != after.source_digest
    assert after.reference(3, 2) == 1


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(TaskError, match="Did you mean `w4a16_gemm`"):
        load_task("w4a16_gem")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(TaskError, match=r"nowhere\.py: no such task file"):
        load_task("nowhere.py")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TASK = Task(", "task = dict(", r":1: defines no Task"),
        ("TASK = Task(", "ONE = Task(\n    name='x',", r"mine\.py.*SyntaxError"),
        (
            "import torch",
            "import torhc",
            r"mine\.py:2: the task file does not load: ModuleNotFoundError.*pip install torhc",
        ),
        ('"mine"', '"mine", colour=1', r"mine\.py:14: the task file does not load: TypeError"),
        ('Output("y", ("N",)', 'Output("y", ("M",)', r"mine\.py:17: the shape of y: In `M`: `M` is unknown"),
        ('Output("y", ("N",)', 'Output("y", ("N +",)', r"mine\.py:17: the shape of y: In `N \+`"),
        (
            'Output("y", ("N",)',
            'Output("y", ("N")',
            r"mine\.py:17: outputs\[0\]\.shape is 'N'\. It should be a valid tuple\. Write \('N',\)\.",
        ),
        (
            'Tensor("b", ("N",)',
            'Tensor("b", ["N"]',
            r"mine\.py:16: inputs\[1\]\.shape is \['N'\]\. It should be a valid tuple",
        ),
        ('Tensor("b", ("N",)', 'Tensor("b", (0.5,)', r"mine\.py:16: inputs\[1\]\.shape\[0\] is 0\.5\. It .* string"),
        ('"float32")),', '"float32", "statc")),', r"mine\.py:16: inputs\[1\]\.role is 'statc'"),
        ('dims=("N",)', 'dims=("N")', r"mine\.py:15: dims is 'N'\. It should be a valid tuple\. Write"),
        ('constraints=("N >= 1",)', 'constraints="N >= 1"', r"mine\.py:15: constraints is 'N >= 1'\. It"),
        ('{"normal": normal}', "normal", r"mine\.py:15: make_inputs is <function .*a valid dictionary"),
        ("cost=cost", "cost=3", r"mine\.py:15: cost is 3\. It should be callable"),
        ("cost=cost", "cost=cost, tolerance=1e-3", r"mine\.py:15: tolerance is 0\.001\. It .*Tolerance"),
        ("cost=cost", 'cost=cost, derived={"K": 3}', r"mine\.py:15: derived\['K'\] is 3"),
        ('(Workload("odd", {"N": 77}, "normal"),)', 'Workload("odd", {"N": 77}, "normal")', r"verify is Workload\("),
        ('Output("y"', 'Output("a"', r"mine\.py:16: 'a' is declared twice"),
        ('Tensor("b"', 'Tensor("b c"', r"'b c' is no identifier"),
        ('dims=("N",)', 'dims=("N",), fixed=("K",)', r"fixed names 'K', which is no dimension"),
        ('"float32")),', '"float23")),', r"mine\.py:16: b has the unknown dtype 'float23'"),
        ("reference(a, b)", "reference(a, c)", r"the reference asks for 'c'"),
        ("reference(a, b)", "reference(a)", r"the reference does not take the input 'b'"),
        ('{"N": 77}', '{"N": 77, "M": 2}', r"mine\.py:19: workload 'odd' does not bind exactly"),
        ('{"N": 77}', '{"N": 0}', r"mine\.py:19: workload 'odd' breaks the constraint 'N >= 1'"),
        ('{"N": 77}', '{"N": 7.5}', r"mine\.py:19: verify\[0\]\.dims\['N'\] is 7\.5\. It"),
        ('{"N": 77}', '{"N": -7}', r"binds N to -7"),
        ('77}, "normal"', '77}, "norml"', r"unknown distribution 'norml'.*There are: normal"),
        ('normal"),),', 'normal"), Workload("odd", {"N": 3}, "normal")),', r"two verify workloads are named 'odd'"),
        ('bench=(Workload("large", {"N": 4096}, "normal"),)', "bench=()", r"there is no bench workload"),
        ('dims["N"], bytes', 'dims["M"], bytes', r"mine\.py:12: cost at N = 77 raised: KeyError"),
        ('unit="fp32"', 'unit="fp31"', r"'fp31' is no unit"),
        ('flops=dims["N"]', "flops=None", r"mine\.py:11: cost at N = 77 has None flops\. Give a finite number"),
        ('flops=dims["N"]', "flops=-1", r"mine\.py:11: cost at N = 77 has -1 flops"),
        ('flops=dims["N"]', 'flops=1 / (dims["N"] - 77)', r"mine\.py:12: cost at N = 77 raised: ZeroDivisionError"),
        ("return Cost(", "return 3, dict(", r"mine\.py:11: cost at N = 77 returned tuple\. Return Cost\("),
        ("cost=cost", "cost=cost, tolerance=Tolerance(k=-1)", r"k of a tolerance is -1; give a finite number"),
        ("cost=cost", 'cost=cost, tolerance=Tolerance(floor=float("nan"))', r"floor of a tolerance is nan"),
        ("cost=cost", 'cost=cost, fixed=("N", "N")', r"fixed names 'N' twice"),
        ('"mine"', '"../mine"', r"mine\.py:15: '\.\./mine' cannot name a family"),
        ('"odd"', '" "', r"mine\.py:19: ' ' cannot name a workload"),
        ('"odd"', '"\\x1b[2J"', r"mine\.py:19: '\\x1b\[2J' cannot name a workload"),
        (
            '"float32"),),\n    ref',
            '"float32", valid="y"),),\n    ref',
            r"mine\.py:17: y counts rows by 'y', which holds no",
        ),
        ("def cost", "raise SystemExit('needs a GPU')\n\ndef cost", r"does not load: SystemExit: needs a GPU"),
    ],
)
def test_a_mistake_is_answered_with_file_line_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(TaskError, match=r"mine\.py:?\d*") as caught:
        load_task(path)
    caught.match(message)


def test_numbers_may_stand_in_a_shape_and_roles_by_their_names(tmp_path: Path) -> None:
    text = GOOD.replace('Tensor("b", ("N",), "float32")', 'Tensor("b", ("N", 1), "float32", "static")')
    task = load_task(written(tmp_path, text))
    assert (("N", "1"), frozenset({"b"})) == (task.tensor("b").shape, task.static_inputs)


def test_two_tasks_in_a_file_are_refused(tmp_path: Path) -> None:
    text = GOOD + "from dataclasses import replace\nOTHER = replace(TASK, name='other')\n"
    with pytest.raises(TaskError, match=r"defines 2 tasks \(TASK, OTHER\)\. One task a file"):
        load_task(written(tmp_path, text))


def test_one_task_under_two_names_is_one_task(tmp_path: Path) -> None:
    assert load_task(written(tmp_path, GOOD + "ALIAS = TASK\n")).name == "add"
