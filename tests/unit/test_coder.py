"""The builtin Coder picks seeds and knobs by the critique, nearest first, and never repeats itself."""

import pytest

from warpsmith.agents.coder import BuiltinCoder
from warpsmith.agents.protocols import Improve, Proposal, Start
from warpsmith.agents.scripted import Answer, ScriptedEvaluator
from warpsmith.agents.state import RunState
from warpsmith.core.errors import KernelFileError
from warpsmith.core.events import Evaluated, Judged, Proposed, RunSettings, RunStarted
from warpsmith.core.outcome import Stage, Wrong
from warpsmith.core.profile import Critique
from warpsmith.seeds import Seed

SETTINGS = RunSettings(coder="builtin", judge="builtin", strategy="refine", rounds=9, library="out")
STARTED = RunStarted(run="r", task="toy", task_digest="d", target="h200", device="emulator", settings=SETTINGS)


def seed(name: str, tags: str, knobs: str = "") -> Seed:
    tune = "".join(f"// {line}\n" for line in knobs.splitlines())
    head = f'// /// kernel\n// task = "toy"\n// tags = [{tags}]\n// [tune]\n{tune}'
    launch = '// [[launch]]\n// kernel = "k"\n// grid = 1\n// block = 32\n// ///\n'
    return Seed(name, f"{head}{launch}__global__ void k(float* y) {{}}\n")


NAIVE = seed("naive.cu", '"naive"')
SPLIT = seed("split.cu", '"Split-K"', "BM = [8, 4, 16, 32]\nSPLIT = [2, 4, 8, 1]")
WIDE = seed("wide.cu", '"vectorized"')
BROKEN = Wrong(stage=Stage.COMPARE, message="no")


def played(state: RunState, proposal: Proposal, answer: Answer, **advice: object) -> RunState:
    """The state after a proposal, its evaluation and a critique."""
    candidate = proposal.candidate
    opened = Proposed(
        round=len(state.attempts) + 1,
        candidate=candidate.identity,
        language=candidate.language,
        text_digest=candidate.text_digest,
        knobs=candidate.knobs,
        parent=proposal.parent,
        idea=proposal.idea,
        by=proposal.by,
    )
    critique = Critique(
        candidate=candidate.identity, bottleneck="b", evidence=(), action="a", judge="builtin"
    ).model_copy(update=advice)
    evaluation = ScriptedEvaluator(lambda _: answer).evaluate(candidate, seed=0)
    for event in (opened, Evaluated(evaluation=evaluation), Judged(critique=critique)):
        state = state.advance(event, lambda _: candidate.text)
    return state


def begun() -> RunState:
    return RunState().advance(STARTED, lambda _: "")


def proposal_of(coder: BuiltinCoder, state: RunState) -> Proposal:
    parent = state.best or state.last
    found = coder.propose(state, Improve(parent) if parent else Start())
    assert found is not None
    return found


def test_the_naive_seed_comes_first_wherever_it_stands() -> None:
    assert proposal_of(BuiltinCoder((WIDE, NAIVE)), begun()).idea == "seed naive.cu"


def test_the_user_s_kernel_comes_before_the_naive_seed() -> None:
    first = proposal_of(BuiltinCoder((NAIVE,), SPLIT), begun())
    assert (first.by, first.idea) == ("user", "seed split.cu")


def test_the_technique_the_judge_names_chooses_the_seed() -> None:
    coder = BuiltinCoder((NAIVE, WIDE, SPLIT))
    state = played(begun(), proposal_of(coder, begun()), 100.0, technique="split_k")
    assert proposal_of(coder, state).idea == "seed split.cu"


def test_a_technique_no_seed_has_leaves_the_seeds_in_order() -> None:
    coder = BuiltinCoder((NAIVE, WIDE, SPLIT))
    state = played(begun(), proposal_of(coder, begun()), 100.0, technique="telepathy")
    assert proposal_of(coder, state).idea == "seed wide.cu"


@pytest.mark.parametrize(("direction", "idea"), [(1, "SPLIT 2 -> 4"), (-1, "SPLIT 2 -> 1")])
def test_the_knob_the_judge_names_moves_one_step_its_way(direction: int, idea: str) -> None:
    coder = BuiltinCoder((SPLIT,))
    state = played(begun(), proposal_of(coder, begun()), 100.0, knob="SPLIT", direction=direction)
    assert idea == proposal_of(coder, state).idea


def test_without_advice_neighbours_are_tried_in_the_file_s_order() -> None:
    coder, state = BuiltinCoder((SPLIT,)), begun()
    ideas = []
    for us in (100.0, 200.0, 200.0, 200.0, 200.0):
        proposal = proposal_of(coder, state)
        ideas.append(proposal.idea)
        state = played(state, proposal, us)
    assert ideas == ["seed split.cu", "BM 8 -> 4", "BM 8 -> 16", "SPLIT 2 -> 4", "SPLIT 2 -> 1"]


def test_neighbours_are_those_of_the_best_not_of_the_last() -> None:
    coder, state = BuiltinCoder((SPLIT,)), begun()
    for us in (100.0, 50.0, 900.0):
        state = played(state, proposal_of(coder, state), us)
    proposal = proposal_of(coder, state)
    assert state.best is not None
    assert (state.best.identity, {"BM": 4, "SPLIT": 2}) == (proposal.parent, state.best.candidate.knobs)


def test_a_failed_seed_gives_way_to_the_next() -> None:
    coder = BuiltinCoder((NAIVE, WIDE))
    state = played(begun(), proposal_of(coder, begun()), BROKEN)
    assert proposal_of(coder, state).idea == "seed wide.cu"


def test_when_all_seeds_failed_their_other_knobs_are_tried() -> None:
    coder = BuiltinCoder((SPLIT,))
    state = played(begun(), proposal_of(coder, begun()), BROKEN)
    assert proposal_of(coder, state).idea == "BM 8 -> 4"


def test_all_assignments_are_proposed_once_and_then_none() -> None:
    coder, state = BuiltinCoder((NAIVE, SPLIT)), begun()
    for _ in range(17):
        state = played(state, proposal_of(coder, state), 100.0)
    assert len(state.tried) == 17
    assert coder.propose(state, Improve(state.attempts[0])) is None


def test_where_keeps_forbidden_assignments_out() -> None:
    coder, state = BuiltinCoder((seed("s.cu", "", 'BM = [1, 2]\nBN = [1, 2]\nwhere = "BM * BN < 4"'),)), begun()
    for _ in range(3):
        state = played(state, proposal_of(coder, state), 100.0)
    assert {"BM": 2, "BN": 2} not in [attempt.candidate.knobs for attempt in state.attempts]
    assert coder.propose(state, Improve(state.attempts[0])) is None


def test_equal_states_give_equal_proposals() -> None:
    state = played(begun(), proposal_of(BuiltinCoder((SPLIT,)), begun()), 100.0, knob="BM")
    assert proposal_of(BuiltinCoder((SPLIT,)), state) == proposal_of(BuiltinCoder((SPLIT,)), state)


def test_a_seed_that_is_no_kernel_file_is_refused_when_the_coder_is_made() -> None:
    with pytest.raises(KernelFileError):
        BuiltinCoder((Seed("bad.cu", "int main() {}"),))
