"""An exported plan launches what the gate judged, bit for bit; what it cannot say is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.exported import SHIPPED, loaded, subject_of
from warpsmith.core.errors import KernelFileError, SettingsError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import bind, parse_kernel_file
from warpsmith.core.plan import BoundFill, BoundLaunch, TensorArg
from warpsmith.core.protocols import RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.exporting.carried import carry
from warpsmith.exporting.plan_text import plan_text
from warpsmith.exporting.python_text import function_of
from warpsmith.exporting.runtime import plan as runtime_plan
from warpsmith.exporting.subject import Subject
from warpsmith.sandbox.device.lowering import lower_step
from warpsmith.sandbox.device.messages import DeviceLaunch
from warpsmith.sandbox.device.placed import kernel_launch
from warpsmith.sandbox.emulated import EmulatedLauncher
from warpsmith.seeds import seeds_for
from warpsmith.tasks.convert import from_torch, to_torch
from warpsmith.tasks.oracle import honest
from warpsmith.tasks.sample import empty_outputs, make_inputs


class RecordingDriver:
    """Stands in for the CUDA driver: keeps what is launched and filled."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.names: dict[int, str] = {}
        self.allowed: list[int] = []

    def load(self, code: bytes) -> int:
        assert code.startswith(b"\x7fELF")
        return 1

    def function(self, module: int, name: str) -> int:
        self.names[len(self.names) + 1] = name
        return len(self.names)

    def allow_shared(self, function: int, nbytes: int) -> None:
        self.allowed.append(nbytes)

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        self.done.append(("fill", address, value & 0xFF, nbytes))

    def launch(
        self, function: int, grid: Any, block: Any, shared: int, params: Any, together: bool, stream: int
    ) -> None:
        self.done.append((self.names[function], grid, block, shared, tuple(params), together))


def a_few(subject: Subject) -> tuple[Any, ...]:
    """Workloads with few builds: the first two bench workloads and the first five that are verified."""
    bench, verify = subject.task.bench[:2], subject.task.verify[:5]
    return tuple(item for item in (*bench, *verify) if subject.builds.inside(item))


def meta(subject: Subject, workload: Any) -> dict[str, torch.Tensor]:
    """Inputs without elements."""
    task = subject.task
    dims = runtime_dims(task, workload)
    return {
        it.name: torch.empty(dims(it), dtype=getattr(torch, task.dtype_of(it, workload).value), device="meta")
        for it in task.inputs
        if it.name not in workload.absent
    }


def runtime_dims(task: Any, workload: Any) -> Any:
    from warpsmith.core.kernel_file import dims_of, tensor_shape

    dims = dims_of(task, workload)
    return lambda item: tensor_shape(item, dims)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_exported_plan_binds_as_the_kernel_file_does(name: str) -> None:
    subject = subject_of(name)
    workloads = a_few(subject)
    module = loaded(subject, workloads)
    on_the_device = 2 * subject.arch.sms
    resident = {launch.kernel: on_the_device for launch in subject.kernel_file.launches}
    for workload in workloads:
        stated = {key: workload.dims[key] for key in subject.task.dims}
        call = module["work_out"](module["PLAN"], meta(subject, workload), stated)
        assert "" == call.why
        bound = module["bind"](module["PLAN"], call, lambda *_: on_the_device)
        expected = bind(
            subject.kernel_file,
            subject.task,
            workload,
            subject.builds.knobs,
            sms=subject.arch.sms,
            resident=resident,
        )
        artifact = subject.builds.artifact(workload)
        assert artifact.cubin == module["CODES"][bound.code]
        assert [(it.name, it.nbytes, it.init, it.prepared) for it in expected.buffers] == [
            tuple(it) for it in bound.buffers
        ]
        assert [shown(step, artifact) for step in expected.steps] == [
            (step.entry.name, step.grid, step.block, step.shared, step.args, step.cooperative, step.prepare)
            if hasattr(step, "entry")
            else (step.tensor, step.value)
            for step in bound.steps
        ]


def shown(step: BoundLaunch | BoundFill, artifact: Any) -> tuple[Any, ...]:
    if isinstance(step, BoundFill):
        return step.tensor, step.value
    args = tuple(arg.name if isinstance(arg, TensorArg) else arg.value for arg in step.args)
    name = artifact.entries[step.kernel]
    return name, step.grid, step.block, step.shared, args, step.cooperative, step.prepare


@pytest.mark.parametrize("name", ["w4a16_gemm", "spconv_forward"])
def test_what_it_tells_the_driver_gives_right_results(name: str) -> None:
    """What is launched, memsets and bytes of every parameter, is what the library would launch, and runs."""
    subject = subject_of(name)
    workload = next(item for item in subject.task.verify if subject.builds.inside(item))
    module, driver = loaded(subject, (workload,)), RecordingDriver()
    launcher = module["Launcher"](module["PLAN"], lambda code: module["CODES"][code], lambda: driver)
    inputs = make_inputs(subject.task, workload, 5)
    tensors = {key: to_torch(value) for key, value in inputs.items()}
    call = module["work_out"](module["PLAN"], tensors, {})
    bound = launcher.bind(call)
    held = {**tensors, **{key: torch.empty(shape, dtype=dtype) for key, shape, dtype in bound.outputs}}
    held |= {item.name: torch.empty(item.nbytes, dtype=torch.uint8) for item in bound.buffers}
    addresses = {key: tensor.data_ptr() for key, tensor in held.items()}
    launcher.enqueue(bound, addresses, 0, 0, prepare=True)
    launcher.enqueue(bound, addresses, 0, 0)
    plan, artifact = subject.builds.plan(workload), subject.builds.artifact(workload)
    steps = [lower_step(step, artifact, "m", addresses.keys()) for step in plan.steps]
    assert [
        (step.entry, step.grid, step.block, step.shared, tuple(kernel_launch(step, addresses).params), step.cooperative)
        for step in steps
        if isinstance(step, DeviceLaunch)
    ] == [item for item in driver.done if item[0] != "fill"]
    outputs = empty_outputs(subject.task, workload)
    request = RunRequest(artifact, plan, inputs, outputs, static=subject.task.static_inputs, checks=False)
    reply = EmulatedLauncher(subject.arch, 1).run(request)
    expected = honest(subject.task, workload, inputs)["y"]
    assert reply.failure is None
    assert np.allclose(*(to_torch(it).float().numpy() for it in (reply.outputs["y"], expected)), atol=2e-2, rtol=2e-2)


def test_a_triton_kernel_is_refused_with_the_reason() -> None:
    seed = next(item for item in seeds_for("nsa_selected_attention") if item.path and item.path.suffix == ".py")
    subject: Any = SimpleNamespace(kernel_file=parse_kernel_file(seed.text), digest="0123")
    with pytest.raises(SettingsError, match=r"specialised by the values of sizes.*Use it through `load`"):
        plan_text(subject, ())


def test_an_absent_tensor_is_a_null_pointer() -> None:
    step = SimpleNamespace(args=("x", "zeros", 7), entry=SimpleNamespace(params=(8, 8, 4)))
    from warpsmith.exporting.runtime.binding import packed

    assert [b"\x10" + bytes(7), bytes(8), b"\x07\0\0\0"] == packed(step, {"x": 16})  # type: ignore[arg-type]


def test_dimensions_are_found_as_the_library_finds_them() -> None:
    subject = subject_of("w4a16_gemm")
    module = loaded(subject, ())
    shapes = {"x": (4, 256), "qweight": (32, 128), "scales": (2, 128)}
    assert {"M": 4, "N": 128, "K": 256, "G": 128} == module["solve"](module["PLAN"], shapes, {})
    with pytest.raises(ValueError, match="extent 31"):
        module["solve"](module["PLAN"], {**shapes, "qweight": (31, 128)}, {})
    with pytest.raises(ValueError, match="no dimension Q"):
        module["solve"](module["PLAN"], shapes, {"Q": 1})


def test_sizes_without_a_build_or_outside_the_domain_say_so() -> None:
    subject = subject_of("w4a16_gemm")
    module = loaded(subject, (subject.task.bench[0],))
    x, qweight = torch.empty(4, 256, dtype=torch.float16), torch.empty(32, 128, dtype=torch.int32)
    given_ = {"x": x, "qweight": qweight, "scales": torch.empty(2, 128, dtype=torch.float16)}
    assert "" == module["work_out"](module["PLAN"], given_, {}).why
    groups = {**given_, "scales": torch.empty(4, 128, dtype=torch.float16)}
    assert "there is no build for G = 64" == module["work_out"](module["PLAN"], groups, {}).why
    ragged = {key: tensor[..., :126] if key != "x" else tensor for key, tensor in given_.items()}
    assert "`N % 4 == 0` does not hold" == module["work_out"](module["PLAN"], ragged, {}).why
    with pytest.raises(ValueError, match=r"x is torch\.float32"):
        module["work_out"](module["PLAN"], {**given_, "x": x.float()}, {})


NAMES = {"M": 3, "N": 64, "K": 0, "BIG": 2**40}
leaves = st.one_of(st.integers(0, 300).map(str), st.sampled_from(sorted(NAMES)))
binary = st.sampled_from(["+", "-", "*", "//", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or"])


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, binary, inner).map(lambda it: f"({it[0]} {it[1]} {it[2]})"),
        inner.map(lambda it: f"(not {it})"),
        inner.map(lambda it: f"(-{it})"),
        st.tuples(st.sampled_from(["min", "max", "cdiv", "align"]), inner, inner).map(
            lambda it: f"{it[0]}({it[1]}, {it[2]})"
        ),
        st.tuples(st.sampled_from(["pow2ceil", "ilog2"]), inner).map(lambda it: f"{it[0]}({it[1]})"),
    )


@given(st.recursive(leaves, grown, max_leaves=12))
@settings(max_examples=300, deadline=None)
def test_an_expression_as_python_has_the_value_it_had(text: str) -> None:
    """Where ours refuses a value outside 64 bits, Python's may go on; elsewhere both agree, or both raise."""
    function = eval(function_of(text), vars(runtime_plan))
    try:
        expected = Expression.parse(text).evaluate(NAMES)
    except KernelFileError as error:
        if "64-bit" not in error.message:
            with pytest.raises((ValueError, ZeroDivisionError)):
                function(runtime_plan.Names(NAMES, {}))
        return
    found = function(runtime_plan.Names(NAMES, {}))
    assert (expected, int) == (found, type(found))


def factory(shift: int) -> Any:
    def shifted(x: torch.Tensor) -> torch.Tensor:
        return helper(x) + shift

    return shifted


def helper(x: torch.Tensor) -> torch.Tensor:
    return x * FACTOR


FACTOR = 3
TABLE = np.arange(3)


def reads_an_array(x: torch.Tensor) -> torch.Tensor:
    return x + TABLE[0]


def test_what_a_function_names_is_carried_with_it() -> None:
    names: dict[str, Any] = {}
    factory.__module__ = helper.__module__ = "warpsmith_task_of_a_test"
    made = factory(4)
    made.__module__ = helper.__module__
    exec(carry({"reference": made}, "t"), names)
    assert torch.equal(torch.tensor([7.0, 10.0]), names["reference"](torch.tensor([1.0, 2.0])))


@pytest.mark.parametrize(
    ("function", "why"),
    [(lambda x: x, "is a lambda"), (reads_an_array, "`TABLE` cannot be carried"), (np.sin, "is no plain function")],
)
def test_what_cannot_be_carried_is_named(function: Any, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        carry({"reference": function}, "t")


def test_rounding_on_the_way_is_carried(tmp_path: Path) -> None:
    """The reference of an export is the honest result, not the oracle."""
    subject = subject_of("w4a16_gemm")
    workload = subject.task.verify[0]
    inputs = make_inputs(subject.task, workload, 1)
    module = loaded(subject, (workload,))
    kernel = module["Kernel"](module["Launcher"](module["PLAN"], None), module["reference"])
    found = kernel(*(to_torch(inputs[item.name]) for item in subject.task.inputs if item.name in inputs))
    expected: HostTensor = honest(subject.task, workload, inputs)["y"]
    assert np.array_equal(from_torch(found, expected.dtype).array, expected.array)
