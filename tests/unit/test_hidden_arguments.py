"""Launches get what their compiled kernels ask for, and only then."""

from warpsmith.core.artifact import Artifact, Resources, Toolchain
from warpsmith.core.dtype import DType
from warpsmith.core.plan import BoundBuffer, BoundFill, BoundLaunch, BoundPlan, IntArg, TensorArg
from warpsmith.sandbox.hidden_arguments import complete

LAUNCH = BoundLaunch("k", (3, 2, 1), (128, 1, 1), 0, (TensorArg("x"), IntArg(5)), line=1)
PLAN = BoundPlan((), (BoundFill("y", 0), LAUNCH))


def artifact(**compiled: int) -> Artifact:
    resources = Resources(registers=32, static_shared=0, **compiled)
    toolchain = Toolchain(compiler="triton 3.7.1", options=())
    return Artifact(
        architecture="sm_80", ptx="", entries={"k": "k_0"}, resources={"k_0": resources}, toolchain=toolchain
    )


def test_a_cuda_plan_comes_back_as_it_is() -> None:
    assert PLAN == complete(PLAN, artifact())


def test_hidden_pointers_are_null_where_there_is_no_scratch() -> None:
    (launch,) = complete(PLAN, artifact(hidden_pointers=2, dynamic_shared=4096)).launches
    assert ((TensorArg("x"), IntArg(5), TensorArg(""), TensorArg("")), 4096) == (launch.args, launch.shared)


def test_scratch_is_a_buffer_for_all_blocks_and_the_first_hidden_pointer() -> None:
    plan = complete(PLAN, artifact(hidden_pointers=2, scratch=256))
    (buffer,) = plan.buffers
    assert BoundBuffer(buffer.name, (6 * 256,), DType.UINT8) == buffer
    assert (TensorArg(buffer.name), TensorArg("")) == plan.launches[0].args[2:]
