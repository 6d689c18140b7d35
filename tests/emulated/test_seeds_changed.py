"""Seeds with other knobs are as right as with their first, and with mistakes they are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .seeded import evaluate, seed_named

pytestmark = pytest.mark.full


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("vectorized", {"BM": 16, "SPLIT": 1}),
        ("vectorized", {"BM": 4, "SPLIT": 16}),
        ("tensor_core", {"MT": 1, "SPLIT": 16, "STAGES": 4}),
        ("tensor_core", {"MT": 2, "SPLIT": 1, "STAGES": 2}),
    ],
)
def test_the_ends_of_the_knobs_are_right_too(name: str, knobs: dict[str, int]) -> None:
    seed = seed_named("w4a16_gemm", name)
    outcome = evaluate("w4a16_gemm", seed, knobs, profiled=False).outcome
    assert outcome.kind == "Verified", outcome


def test_a_pipeline_that_waits_for_too_few_copies_is_caught() -> None:
    seed = seed_named("w4a16_gemm", "tensor_core")
    assert 1 == seed.text.count('"n"(STAGES - 1)')
    hasty = replace(seed, text=seed.text.replace('"n"(STAGES - 1)', '"n"(STAGES)'))
    outcome = evaluate("w4a16_gemm", hasty, profiled=False).outcome
    assert outcome.kind in ("Uninitialised", "Racy", "Wrong"), outcome


def test_a_pipeline_with_a_stage_too_few_is_caught() -> None:
    """The next but one tile is copied to where the next is still to arrive, and both are waited for in time."""
    seed = seed_named("w4a16_gemm", "tensor_core")
    text = seed.text
    for good, bad in (
        ("used = 0, filled = STAGES - 1,", "used = 0, filled = 0,"),
        ("used = used + 1 == STAGES ?", "used = used + 1 == STAGES - 1 ?"),
        ("filled = filled + 1 == STAGES ?", "filled = filled + 1 == STAGES - 1 ?"),
    ):
        assert 1 == text.count(good)
        text = text.replace(good, bad)
    outcome = evaluate("w4a16_gemm", replace(seed, text=text), profiled=False).outcome
    assert "Uninitialised" == outcome.kind, outcome
    assert "an asynchronous copy is still to bring" in outcome.message


MISTAKES = {
    "keys behind a token are seen": ("tokens[r] - first + 1 - id * BS", "tokens[r] - first + 2 - id * BS"),
    "a copy is not waited for": ('"n"(STAGES - 2)', '"n"(STAGES - 1)'),
    "what was summed does not shrink": ("total[r] *= shrink;", "total[r] *= 1.f;"),
    "keys past a tile's last token are loaded": ("min(BS, reach[id - low] - id * BS + 1)", "BS"),
    "a later block sets a bit": ("id >= 0 && id <= place / BS", "id >= 0 && id <= (T - 1) / BS"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_attention_with_a_mistake_is_caught(mistake: str) -> None:
    seed = seed_named("nsa_selected_attention", "tensor_core")
    good, bad = MISTAKES[mistake]
    assert 1 == seed.text.count(good)
    outcome = evaluate(
        "nsa_selected_attention", replace(seed, text=seed.text.replace(good, bad)), profiled=False
    ).outcome
    assert outcome.kind in ("OutOfBounds", "Uninitialised", "Racy", "Wrong"), outcome


NUMBERED = {
    "naive": ("total > 0.f ? sum / total : 0.f", "t == 5001 ? 0.f : total > 0.f ? sum / total : 0.f"),
    "tensor_core": ("total[r] *= shrink;", "total[r] *= tokens[r] == 5001 ? 2.f * shrink : shrink;"),
}
"""One token of the thousands where attention is timed, and of none where it is verified."""


@pytest.mark.parametrize("name", NUMBERED)
def test_one_token_told_by_its_number_is_caught_where_attention_is_timed(name: str) -> None:
    seed = seed_named("nsa_selected_attention", name)
    good, bad = NUMBERED[name]
    assert 1 == seed.text.count(good)
    changed = replace(seed, text=seed.text.replace(good, bad))
    outcome = evaluate("nsa_selected_attention", changed, profiled=True).outcome
    assert outcome.kind == "Wrong", outcome
    assert "wrong where it is timed" in outcome.message


@pytest.mark.parametrize("knobs", [{"WARPS": 4, "STAGES": 3}, {"WARPS": 8, "STAGES": 2}])
def test_other_knobs_of_attention_are_right_too(knobs: dict[str, int]) -> None:
    seed = seed_named("nsa_selected_attention", "tensor_core")
    outcome = evaluate("nsa_selected_attention", seed, knobs, profiled=False).outcome
    assert outcome.kind == "Verified", outcome


def test_a_pick_that_does_not_strike_out_repeats_a_block() -> None:
    seed = seed_named("nsa_block_topk", "tensor_core")
    struck = "if (lane == owner) scores[at] = -1.f;"
    assert 1 == seed.text.count(struck)
    outcome = evaluate("nsa_block_topk", replace(seed, text=seed.text.replace(struck, "")), profiled=False).outcome
    assert outcome.kind == "Wrong", outcome
