"""The builtin Judge names one bottleneck, proves it with the profile's own numbers, and asks for one thing."""

from typing import Any

import pytest

from warpsmith.agents.judge import BuiltinJudge
from warpsmith.agents.reading import read
from warpsmith.agents.scripted import ScriptedEvaluator, scripted_workload
from warpsmith.agents.state import Attempt
from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import Branches, SharedTraffic, Traffic
from warpsmith.core.events import Proposed
from warpsmith.core.outcome import OutOfBounds, Stage
from warpsmith.core.profile import Critique, LaunchProfile, WorkloadProfile
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Source

JUDGE = BuiltinJudge()


def candidate(tags: str = '"naive"', knobs: str = "") -> Candidate:
    tune = "".join(f"// {line}\n" for line in knobs.splitlines())
    text = f"""// /// kernel
// task = "toy"
// tags = [{tags}]
// [tune]
{tune}// [[launch]]
// kernel = "k"
// grid = 1
// block = 32
// ///
__global__ void k(float* y) {{}}
"""
    first = {name: int(values.split("[")[1].split(",")[0]) for name, values in map(split_knob, knobs.splitlines())}
    return Candidate(task="toy", language="cuda", text=text, knobs=first)


def split_knob(line: str) -> tuple[str, str]:
    name, values = line.split(" = ")
    return name, values


def workload(
    limiter: str, *, us: float = 100.0, name: str = "w", bound: str = "dram", **changes: Any
) -> WorkloadProfile:
    """One launch held up by `limiter`; `changes` go to its counters, and `waves`, `occupancy` to the launch."""
    scripted = scripted_workload(us, name=name, limiter=limiter)
    launch = scripted.launches[0]
    outer = {key: changes.pop(key) for key in ("waves", "occupancy", "resources", "kernel") if key in changes}
    counters = launch.counters.model_copy(update={"outstanding_loads": 8.0, **changes})
    launch = LaunchProfile.model_validate(
        {**dict(launch), "waves": 4.0, "limiter": limiter, **outer, "counters": counters}
    )
    return scripted.model_copy(
        update={"launches": (launch,), "bound": scripted.bound.model_copy(update={"limit": bound})}
    )


def evaluated(of: Candidate, *workloads: WorkloadProfile) -> Evaluation:
    return ScriptedEvaluator(lambda _: workloads).evaluate(of, seed=1)


def judged(of: Candidate, *workloads: WorkloadProfile) -> Critique:
    return JUDGE.critique(of, evaluated(of, *workloads), ())


SCATTERED = Traffic(requests=1e4, sectors=32e4, bytes=128e4)
NARROW = Traffic(requests=1e4, sectors=4e4, bytes=128e4)
WIDE = Traffic(requests=1e4, sectors=16e4, bytes=512e4)


def test_divergence_is_named_where_it_leaves_lanes_idle_and_only_there() -> None:
    split = Branches(executed=100, divergent=50)
    idle = {"warp_instructions": {"fma": 100.0}, "thread_instructions": 1000.0}
    critique = judged(candidate(), workload("fma", branches=split, **idle))
    assert critique.bottleneck.endswith("lanes of a warp go different ways")
    evidence = {item.name: item.value for item in critique.evidence}
    assert (0.5, 10) == (evidence["branch efficiency"], evidence["active lanes per warp instruction"])
    for changes in ({"branches": Branches(executed=100)}, {"thread_instructions": 3200.0}):
        critique = judged(candidate(), workload("fma", **{"branches": split, **idle, **changes}))
        assert "different ways" not in critique.bottleneck


def test_scattered_loads_call_for_coalescing_and_the_sectors_prove_it() -> None:
    critique = judged(candidate(), workload("dram", global_load=SCATTERED))
    assert critique.technique == "coalesced"
    proof = {metric.name: metric for metric in critique.evidence}
    assert (
        proof["sectors per load request"].value,
        proof["sectors per load request"].unit,
        proof["sectors per load request"].source,
    ) == (32.0, "sectors", Source.EMULATED)
    assert (proof["time"].value, proof["time"].source) == (100.0, Source.MODELLED)


def test_whole_sectors_call_for_no_coalescing() -> None:
    assert judged(candidate(), workload("dram", global_load=WIDE)).technique != "coalesced"


def test_narrow_loads_call_for_wider_ones() -> None:
    assert judged(candidate(), workload("l1", global_load=NARROW)).technique == "vectorized"


def test_a_grid_too_small_for_the_chip_calls_for_split_k() -> None:
    assert judged(candidate(), workload("latency", waves=0.1)).technique == "split_k"


def test_a_kernel_that_splits_already_is_told_to_split_more() -> None:
    kernel = candidate('"naive", "split_k", "stream_k", "split"', "BM = [8, 16]\nSPLIT = [1, 4, 8]")
    critique = judged(kernel, workload("latency", waves=0.1))
    assert (critique.knob, critique.direction, critique.technique) == ("SPLIT", 1, "")
    assert "Raise SPLIT, now 1." in critique.action


def test_a_knob_at_its_end_is_not_asked_to_go_further() -> None:
    kernel = candidate('"split_k", "stream_k", "split"', "BM = [8, 16, 4]\nSPLIT = [8, 4, 1]")
    critique = judged(kernel, workload("latency", waves=0.1))
    assert (critique.knob, critique.direction) == ("BM", -1)


def test_bank_conflicts_call_for_a_swizzle() -> None:
    shared = SharedTraffic(requests=1e4, wavefronts=8e4, ideal_wavefronts=1e4)
    critique = judged(candidate(), workload("shared", shared_load=shared))
    assert critique.technique == "swizzled"
    assert 8.0 in [metric.value for metric in critique.evidence]


def test_shared_memory_without_conflicts_calls_for_more_reuse_instead() -> None:
    shared = SharedTraffic(requests=1e4, wavefronts=1e4, ideal_wavefronts=1e4)
    assert judged(candidate(), workload("shared", shared_load=shared)).technique == "tensor_core"


def test_scalar_arithmetic_on_a_tensor_core_task_calls_for_tensor_cores() -> None:
    assert judged(candidate(), workload("fma", bound="tensor fp16")).technique == "tensor_core"


def test_unpacking_that_fills_the_issue_slots_calls_for_fewer_instructions() -> None:
    kernel = candidate('"tensor_core"')
    critique = judged(kernel, workload("alu", warp_instructions={"alu": 9e4, "tensor": 1e3}))
    assert critique.technique == "lop3_dequant"


def test_advice_given_before_is_not_repeated() -> None:
    kernel = candidate()
    evaluation = evaluated(kernel, workload("l1", global_load=NARROW))
    first = JUDGE.critique(kernel, evaluation, ())
    history = (Attempt(proposed(kernel), kernel, evaluation, first),)
    assert first.technique == "vectorized"
    assert JUDGE.critique(kernel, evaluation, history).technique != "vectorized"


def proposed(kernel: Candidate) -> Proposed:
    return Proposed(
        round=1, candidate=kernel.identity, language="cuda", text_digest=kernel.text_digest, idea="seed", by="builtin"
    )


def test_the_workload_farthest_from_its_bound_decides() -> None:
    near = workload("dram", us=1.2, name="near", global_load=SCATTERED)
    far = workload("latency", us=500.0, name="far", waves=0.1)
    critique = judged(candidate(), near, far)
    assert critique.bottleneck.startswith("latency in scripted at far")


def test_many_workloads_with_one_trouble_outweigh_one_with_another() -> None:
    many = [workload("dram", us=30.0, name=f"w{number}", global_load=SCATTERED) for number in range(3)]
    alone = workload("latency", us=100.0, name="alone", waves=0.1)
    assert judged(candidate(), alone, *many).technique == "coalesced"


def test_a_failure_is_told_in_its_own_words_and_place() -> None:
    kernel = candidate()
    failure = OutOfBounds(stage=Stage.EMULATE, message="store 4 bytes past the end of y", line=12, workload="ragged N")
    evaluation = Evaluation(candidate=kernel.identity, outcome=failure, stages=())
    critique = JUDGE.critique(kernel, evaluation, ())
    assert (
        critique.bottleneck,
        critique.action,
        critique.evidence,
    ) == ("OutOfBounds at emulate", "line 12: store 4 bytes past the end of y (at ragged N)", ())


def test_an_evaluation_of_another_candidate_is_refused() -> None:
    other = evaluated(candidate('"other"'), workload("dram"))
    with pytest.raises(ValueError, match="does not belong"):
        JUDGE.critique(candidate(), other, ())


def test_a_profile_of_another_candidate_is_refused() -> None:
    kernel, other = candidate(), evaluated(candidate('"other"'), workload("dram"))
    swapped = evaluated(kernel, workload("dram")).model_copy(update={"profile": other.profile})
    with pytest.raises(ValueError, match="does not belong"):
        JUDGE.critique(kernel, swapped, ())


@pytest.mark.parametrize("limiter", ["dram", "l2", "l1", "lsu", "shared", "issue", "fma", "alu", "half", "fp64", "sfu"])
def test_every_limiter_of_a_naive_kernel_has_an_answer(limiter: str) -> None:
    critique = judged(candidate(), workload(limiter))
    assert critique.technique or critique.knob
    assert critique.evidence


@pytest.mark.parametrize("limiter", ["tensor", "latency", "launch"])
def test_every_other_limiter_has_one_too(limiter: str) -> None:
    assert judged(candidate(), workload(limiter)).technique


def test_a_limiter_without_a_rule_still_gets_an_honest_answer() -> None:
    critique = judged(candidate(), workload("quantum"))
    assert (critique.technique, critique.knob) == ("", "")
    assert "vary the knobs" in critique.action


def test_every_number_a_rule_cites_exists() -> None:
    from warpsmith.agents.rules import RULES

    reading = read(evaluated(candidate(), workload("dram")).profile)  # type: ignore[arg-type]
    assert reading is not None
    for rule in RULES:
        for name in rule.evidence:
            assert name == reading.metric(name).name
