"""The shipped tasks' references against a second formulation each, written another way on purpose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Workload
from warpsmith.tasks import load_task
from warpsmith.tasks.convert import to_torch
from warpsmith.tasks.oracle import bench_oracle, oracle
from warpsmith.tasks.sample import make_inputs

Tensors = Mapping[str, torch.Tensor]


def attention_one_row_at_a_time(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Loops over rows, heads and keys that a row may see, with the softmax of a list."""
    T, H, G, BS = (dims[name] for name in ("T", "H", "G", "BS"))
    out, lse = torch.zeros(T, H * G, dims["DV"], dtype=torch.float64), torch.full((H * G, T), -math.inf).double()
    edges = x["cu_seqlens"].tolist()
    for start, stop in pairwise(edges):
        for t in range(start, stop):
            for h in range(H):
                picked = {int(b) for b in x["block_ids"][h, t] if b >= 0}
                keys = [j for j in range(start, t + 1) if (j - start) // BS in picked]
                for head in range(h * G, (h + 1) * G) if keys else ():
                    score = (x["k"][keys, h].double() @ x["q"][t, head].double()) / math.sqrt(dims["D"])
                    if "key_bias" in x:
                        score = score + x["key_bias"][keys, h].double()
                    out[t, head] = torch.softmax(score, 0) @ x["v"][keys, h].double()
                    lse[head, t] = torch.logsumexp(score, 0)
    return {"out": out, "lse": lse}


def convolution_on_a_dense_grid(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """A product with a matrix that holds a one for every pair of the map; NaN where a pair has one."""
    y, numbers = torch.zeros(dims["NOUT"], dims["COUT"], dtype=torch.float64), x["feats"].double().nan_to_num()
    spoiled = x["feats"].isnan().any(1)
    for v in range(dims["V"]):
        pairs = torch.zeros(dims["NOUT"], dims["NV"], dtype=torch.float64)
        for o, i in enumerate(x["kmap"][:, v].tolist()):
            if i >= 0:
                pairs[o, i] = 1.0
        y += pairs @ numbers @ x["w"][v].double()
        y[pairs[:, spoiled].any(1)] = float("nan")
    return {"y": y}


def map_from_a_dictionary(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Sites in a dict; coarse ones in ascending order, as Python sorts them."""
    KS, step = dims["KS"], dims["STRIDE"]
    sites = [tuple(site) for site in x["coords"].tolist()]
    rows = {site: row for row, site in enumerate(sites)}
    out = sites if step == 1 else sorted({(b, *(c // step * step for c in rest)) for b, *rest in sites})
    reach = range(-(KS // 2), KS - KS // 2)
    offsets = [(i, j, k) for i in reach for j in reach for k in reach]
    kmap = [[rows.get((b, p + i, q + j, r + k), -1) for i, j, k in offsets] for b, p, q, r in out]
    pad = dims["NV"] - len(out)
    return {
        "out_coords": torch.nn.functional.pad(torch.tensor(out).reshape(-1, 4), (0, 0, 0, pad)),
        "kmap": torch.nn.functional.pad(torch.tensor(kmap).reshape(-1, dims["V"]), (0, 0, 0, pad)),
        "n_out": torch.tensor([len(out)]),
    }


def experts_one_token_at_a_time(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Python's sort for the choice, a softmax of a list, one matrix-vector product after another."""
    y = torch.zeros(dims["T"], dims["H"], dtype=torch.float64)
    for t, token in enumerate(x["x"].double()):
        logits = (x["router"].double() @ token).tolist()
        best = sorted(range(dims["E"]), key=lambda e: (-logits[e], e))[: dims["TOPK"]]
        weights = torch.softmax(torch.tensor([logits[e] for e in best], dtype=torch.float64), 0)
        for weight, e in zip(weights, best, strict=True):
            gate, up = x["w1"][e, 0::2].double() @ token, x["w1"][e, 1::2].double() @ token
            y[t] += weight * (x["w2"][e].double() @ (gate / (1 + torch.exp(-gate)) * up))
    return {"y": y}


def lists_of_entries(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Entries appended to one list an expert."""
    held: list[list[int]] = [[] for _ in range(dims["E"])]
    for entry, expert in enumerate(x["topk_ids"].flatten().tolist()):
        held[expert].append(entry)
    order = [entry for entries in held for entry in entries]
    place = [order.index(entry) for entry in range(len(order))]
    offsets = np.cumsum([0, *map(len, held)])
    return {
        "offsets": torch.tensor(offsets),
        "order": torch.tensor(order, dtype=torch.int32),
        "place": torch.tensor(place).reshape(dims["T"], dims["TOPK"]),
    }


def weights_byte_by_byte(x: Tensors, dims: Mapping[str, int]) -> torch.Tensor:
    """Every word as four bytes, the low half of each before its high half; groups of rows in a loop."""
    K, N, G = (dims[name] for name in "KNG")
    halves = x["qweight"].numpy().astype("<i4").T.copy().view(np.uint8).reshape(N, K // 2)
    codes = np.stack([halves % 16, halves // 16], axis=2).reshape(N, K).T.astype(np.float64)
    for group in range(K // G):
        middle = x["zeros"][group].double().numpy() if "zeros" in x else 8.0
        codes[group * G : (group + 1) * G] -= middle
        codes[group * G : (group + 1) * G] *= x["scales"][group].double().numpy()
    return torch.from_numpy(codes)


def products_with_weights_byte_by_byte(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    return {"y": torch.stack([row @ weights_byte_by_byte(x, dims) for row in x["x"].double()])}


def gradients_with_weights_byte_by_byte(x: Tensors, dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    return {"dx": torch.stack([weights_byte_by_byte(x, dims) @ row for row in x["dy"].double()])}


SECOND: dict[str, Any] = {
    "w4a16_gemm": products_with_weights_byte_by_byte,
    "w4a16_gemm_backward": gradients_with_weights_byte_by_byte,
    "nsa_selected_attention": attention_one_row_at_a_time,
    "spconv_forward": convolution_on_a_dense_grid,
    "spconv_kernel_map": map_from_a_dictionary,
    "moe_forward": experts_one_token_at_a_time,
    "moe_routing_metadata": lists_of_entries,
}
SLOW = {"nsa_selected_attention", "nsa_block_topk"}
"""Two workloads of each in the quick suite, the others in the full one."""


def case(name: str, number: int) -> Any:
    marks = [pytest.mark.full] if name in SLOW and number not in (0, 1) else []
    return pytest.param(name, number, marks=marks)


CASES = [case(name, number) for name in SECOND for number in range(len(load_task(name).verify))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_the_reference_and_a_second_formulation_agree(name: str, number: int) -> None:
    task = load_task(name)
    workload = task.verify[number]
    inputs = make_inputs(task, workload, 11)
    expected = SECOND[name]({key: to_torch(value) for key, value in inputs.items()}, dims_of(task, workload))
    for output, got in oracle(task, workload, inputs).items():
        want = expected[output].numpy()
        assert want.shape == got.shape
        np.testing.assert_allclose(got.astype(np.float64), want, rtol=1e-9, atol=1e-11, err_msg=output)


def regretless(task: Task, workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Ids that the reference of nsa_block_topk gives and ids from scores computed one row at a time, as sorted sets."""
    inputs = make_inputs(task, workload, 4)
    x, dims = {key: to_torch(value) for key, value in inputs.items()}, dims_of(task, workload)
    T, H, G, BS, S = (dims[name] for name in ("T", "H", "G", "BS", "S"))
    found = np.full((H, T, S), -1)
    edges, blocks = x["cu_seqlens"].tolist(), x["cu_blocks"].tolist()
    for b, (start, stop) in enumerate(pairwise(edges)):
        for t in range(start, stop):
            complete, own = (t - start + 1) // BS, (t - start) // BS
            for h in range(H):
                score = [0.0] * (own + 1)
                for head in range(h * G, (h + 1) * G) if complete else ():
                    keys = x["kc"][blocks[b] : blocks[b] + complete, h].double()
                    share = torch.softmax(keys @ x["q"][t, head].double() / math.sqrt(dims["D"]), 0)
                    score[:complete] = [a + float(s) for a, s in zip(score[:complete], share, strict=True)]
                score[0] = score[own] = math.inf
                best = sorted(range(own + 1), key=lambda e: -score[e])[:S]
                found[h, t, : len(best)] = best
    return np.sort(oracle(task, workload, inputs)["block_ids"], axis=-1), np.sort(found, axis=-1)


@pytest.mark.parametrize(("name", "number"), [case("nsa_block_topk", number) for number in range(8)])
def test_the_selection_is_that_of_scores_computed_row_by_row(name: str, number: int) -> None:
    task = load_task(name)
    got, want = regretless(task, task.verify[number])
    assert (got == want).mean() > 0.999


@pytest.mark.parametrize("name", ["nsa_selected_attention", "nsa_block_topk", "moe_forward", "spconv_forward"])
def test_some_rows_are_those_rows_of_the_whole(name: str) -> None:
    task = load_task(name)
    workload = task.verify[1]
    inputs = make_inputs(task, workload, 3)
    rows = np.array([0, 5, 6, 30])
    whole = bench_oracle(task, workload, inputs, wide=True)
    for output, part in bench_oracle(task, workload, inputs, wide=True, rows=rows).items():
        axis = task.tensor(output).shape.index(task.rows)
        np.testing.assert_allclose(part, whole[output].take(rows, axis=axis), rtol=1e-12)
