"""A wrong output is traced to the mistake in reading the inputs that gives it, and to none where nothing gives it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from warpsmith.core.outcome import Wrong
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.causes import told_by_integers
from warpsmith.sandbox.verify.compare import compare
from warpsmith.sandbox.verify.explain import explained
from warpsmith.tasks import load_task
from warpsmith.tasks.oracle import honest, oracle
from warpsmith.tasks.sample import make_inputs

W4A16, MOE, ROUTING = (load_task(name) for name in ("w4a16_gemm", "moe_forward", "moe_routing_metadata"))
ATTENTION, TOPK, MAP = (load_task(name) for name in ("nsa_selected_attention", "nsa_block_topk", "spconv_kernel_map"))
Array = NDArray[Any]
Arrays = dict[str, Array]
Bug = Callable[[Arrays], Array]
ZEROS = "zero points, groups of 64"


def workload_of(task: Task, name: str) -> Workload:
    return next(workload for workload in task.verify if workload.name == name)


def right(task: Task, name: str, output: str) -> Array:
    """What `said` begins with."""
    workload = workload_of(task, name)
    return honest(task, workload, make_inputs(task, workload, 5))[output].array


def said(task: Task, name: str, bug: Bug, output: str = "y") -> str:
    """What is said of a kernel that computes `bug` where the rest is right."""
    workload = workload_of(task, name)
    inputs = make_inputs(task, workload, 5)
    expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)
    arrays = {key: value.array for key, value in inputs.items()}
    wrong = np.ascontiguousarray(bug(arrays)).astype(ideal[output].array.dtype)
    got = {**ideal, output: HostTensor(ideal[output].dtype, ideal[output].shape, wrong)}
    verdict = compare(task, workload, got, expected, ideal, inputs=inputs, explain=explained)
    assert isinstance(verdict, Wrong)
    return verdict.message


def product(x: Array, qweight: Array, scales: Array, zeros: Any = 8, order: Any = range(8)) -> Array:
    """The W4A16 product in float32, its nibbles read in some order."""
    words = qweight.view(np.uint32)
    codes = np.stack([words >> np.uint32(4 * i) & np.uint32(15) for i in order], axis=1)
    codes = codes.reshape(-1, words.shape[1]).astype(np.float32)
    groups = codes.shape[0] // scales.shape[0]
    weight = (codes - np.repeat(np.broadcast_to(zeros, scales.shape), groups, 0)) * np.repeat(scales, groups, 0)
    result: Array = x.astype(np.float32) @ weight.astype(np.float32)
    return result


@pytest.mark.parametrize(
    ("name", "bug", "words"),
    [
        (
            "many small groups",
            lambda a: product(a["x"], a["qweight"], a["scales"] * 0 + 1),
            "where scales is 1 throughout",
        ),
        ("one group", lambda a: product(a["x"], a["qweight"], a["scales"], 7), "zeros, which is not given here, is 7"),
        ("one group", lambda a: product(a["x"], a["qweight"], a["scales"], order=range(7, -1, -1)), "in reverse order"),
        ("one group", lambda a: product(a["x"][:, 16:], a["qweight"][2:], a["scales"]), "the first 16 of 512 along K"),
        ("one group", lambda a: product(a["x"][:, :-32], a["qweight"][:-4], a["scales"]), "the last 32 of 512 along K"),
        (
            "one group",
            lambda a: product(a["x"].reshape(512, 8).T, a["qweight"], a["scales"]),
            "x is taken to lie trans",
        ),
        (
            ZEROS,
            lambda a: product(a["x"], a["qweight"], a["scales"]),
            "without zeros, which is optional: it is ignored",
        ),
        (ZEROS, lambda a: product(a["x"], a["qweight"], a["scales"], a["zeros"] + 1.0), "zeros is larger by one"),
        (
            ZEROS,
            lambda a: product(a["x"], a["qweight"], a["scales"][[1, 2, 3, 4, 4]], a["zeros"]),
            "where each place is read from the one behind it along `K // G` of scales",
        ),
    ],
)
def test_what_a_quantised_product_reads_wrongly_is_named(name: str, bug: Bug, words: str) -> None:
    message = said(W4A16, name, bug)
    assert "The values there are what the reference gives" in message
    assert words in message, message


@pytest.mark.full
def test_halves_taken_for_even_and_odd_rows_are_named() -> None:
    """Gate and up projections, interleaved by the task and read as if one stood behind the other."""

    def bug(arrays: Arrays) -> Array:
        size = arrays["w1"].shape[1] // 2
        braided = np.arange(2 * size).reshape(2, size).T.reshape(-1)
        inputs = make_inputs(MOE, workload_of(MOE, "every expert"), 5)
        inputs["w1"] = HostTensor(inputs["w1"].dtype, inputs["w1"].shape, arrays["w1"][:, braided].copy())
        return honest(MOE, workload_of(MOE, "every expert"), inputs)["y"].array

    assert "where halves are read in place of even and odd places along `2 * I` of w1" in said(MOE, "every expert", bug)


def test_integers_are_explained_too() -> None:
    """An order in which each token's choices were read backwards."""

    def bug(arrays: Arrays) -> Array:
        return arrays["topk_ids"][:, ::-1].ravel().argsort(kind="stable")

    message = said(ROUTING, "every expert", bug, "order")
    assert "for the reverse order along TOPK of topk_ids" in message, message


@pytest.mark.parametrize("name", ["one group", ZEROS])
def test_noise_is_explained_by_nothing(name: str) -> None:
    draw = np.random.default_rng(1)
    message = said(W4A16, name, lambda a: product(**a) * (1 + 0.3 * draw.standard_normal(a["scales"].shape[1])))
    assert "what the reference gives" not in message


def test_a_few_wrong_elements_are_explained_by_nothing() -> None:
    """Among hundreds of changes one would fit them by chance."""

    def bug(arrays: Arrays) -> Array:
        wrong = product(**arrays)
        wrong[0, :4] += 3.0
        return wrong

    assert "what the reference gives" not in said(W4A16, "one group", bug)


@pytest.mark.parametrize(
    ("output", "change", "words"),
    [
        ("offsets", lambda y: y + 1, "Each is 1 too large"),
        ("offsets", lambda y: np.append(y[1:], 666), "Each is what the one behind it should be: an inclusive sum"),
        ("order", lambda y: y // 2, "Each is what is expected divided by 2"),
        ("order", lambda y: y[::-1], "the right values in another order: a sort that is not stable"),
    ],
)
def test_what_integers_have_in_common_is_told(output: str, change: Callable[[Array], Array], words: str) -> None:
    message = said(ROUTING, "ragged tokens", lambda _: change(right(ROUTING, "ragged tokens", output)), output)
    assert words in message, message


def test_rows_that_hold_the_right_integers_in_another_order_are_told() -> None:
    expected = np.arange(12).reshape(3, 4) ** 2
    got = np.take_along_axis(expected, np.array([[1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 1, 3]]), 1)
    told = told_by_integers(got, expected, got != expected)
    assert told == "Every row holds the right values in another order."


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.inf, "is divided by 0"), (-np.inf, "terms that count were masked out"), (np.nan, "never written")],
)
def test_why_a_value_is_not_finite_is_told_by_its_kind(value: float, words: str) -> None:
    lse = right(ATTENTION, "one token", "lse").copy()
    lse[0] = value
    assert words in said(ATTENTION, "one token", lambda _: lse, "lse")


def test_terms_let_in_where_nothing_counts_are_named() -> None:
    lse = right(ATTENTION, "ragged sequences", "lse")
    message = said(ATTENTION, "ragged sequences", lambda _: np.where(np.isneginf(lse), 1.0, lse), "lse")
    assert "terms that are masked out were let in" in message


@pytest.mark.parametrize(
    ("task", "name", "output", "change", "words"),
    [
        (TOPK, "published heads", "block_ids", lambda y: np.where(y == 0, 1, y), "without the first or the own block"),
        (TOPK, "published heads", "block_ids", lambda y: np.repeat(y[..., :1], 4, -1), "stands in the row twice"),
        (TOPK, "published heads", "block_ids", lambda y: y + 1000, "no block of the row's sequence"),
        (TOPK, "fewer blocks than places", "block_ids", lambda y: np.maximum(y, 0), "another number of blocks"),
        (MAP, "few sites, stride 2", "out_coords", lambda y: y[[0, 0, 2, 3, 4, 5, 6]], "stands twice"),
        (MAP, "few sites, stride 2", "out_coords", lambda y: y + 1, "no output site"),
        (MAP, "ragged surface", "kmap", lambda y: np.full_like(y, -1), "-1 where an input stands"),
        (MAP, "ragged surface", "kmap", lambda y: np.maximum(y, 0), "an input where none stands"),
        (MAP, "ragged surface", "kmap", lambda y: y ^ (y > 0), "another input than the one that stands there"),
    ],
)
def test_a_check_of_the_tasks_own_tells_what_is_broken(
    task: Task, name: str, output: str, change: Callable[[Array], Array], words: str
) -> None:
    message = said(task, name, lambda _: change(right(task, name, output)), output)
    assert "Broken: " in message
    assert words in message.partition("Broken: ")[2], message
