"""Whole kernels against float64, on every instruction set this processor has, checked and unchecked alike."""

from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.emulator.vm.bindings import isa_names

HERE = Path(__file__).parent
FOLDERS = (HERE / "kernels", HERE.parent.parent / "benchmarks" / "kernels")


@pytest.fixture(scope="module")
def kernel(cuda):
    def find(file, name=""):
        path = next(folder / f"{file}.cu" for folder in FOLDERS if (folder / f"{file}.cu").exists())
        return cuda(path.read_text(), name)

    return find


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def to_bf16(values):
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def on_every_build(run):
    """Outputs of `run(isa, checks)`, which must agree bit for bit."""
    first = run(isa_names()[0], True)
    for isa in isa_names():
        assert np.array_equal(first, run(isa, False)), isa
    return first


GEMMS = {
    "gemm_naive": (lambda m, n: (-(-n // 32), -(-m // 8)), (32, 8), 0),
    "gemm_tiled": (lambda m, n: (-(-n // 16), -(-m // 16)), (16, 16), 0),
}


@pytest.mark.parametrize("name", GEMMS)
def test_float32_gemm_of_ragged_sizes(kernel, buffer, fresh, rng, name):
    m, n, k = 70, 45, 37
    a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    grid, block, shared = GEMMS[name]

    def run(isa, checks):
        c = np.zeros((m, n), np.float32)
        result = kernel(name).run(
            grid(m, n), block, buffer(a), buffer(b), fresh(c), m, n, k, shared=shared, isa=isa, checks=checks
        )
        assert result.fault is None
        return c

    np.testing.assert_allclose(a.astype(np.float64) @ b, on_every_build(run), atol=2e-5)


def test_register_tiled_gemm_with_dynamic_shared_memory(kernel, buffer, fresh, rng):
    n, k = 128, 64
    a, b = rng.standard_normal((n, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)

    def run(isa, checks):
        c = np.zeros((n, n), np.float32)
        result = kernel("gemm_register_tiled").run(
            (2, 2), 256, buffer(a), buffer(b), fresh(c), n, k, shared=8192, isa=isa, checks=checks, threads=2
        )
        assert result.fault is None
        return c

    np.testing.assert_allclose(a.astype(np.float64) @ b, on_every_build(run), atol=5e-5)


def test_softmax(kernel, buffer, fresh, rng):
    x = rng.standard_normal((6, 333)).astype(np.float32)

    def run(isa, checks):
        y = np.zeros_like(x)
        assert kernel("softmax").run(6, 128, buffer(x), fresh(y), 333, isa=isa, checks=checks).fault is None
        return y

    e = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(e / e.sum(1, keepdims=True), on_every_build(run), rtol=2e-6)


def test_tensor_core_gemm_in_bf16(kernel, buffer, fresh, rng):
    a, b = to_bf16(rng.standard_normal((64, 96))), to_bf16(rng.standard_normal((96, 128)))

    def run(isa, checks):
        c = np.zeros((64, 128), np.float32)
        result = kernel("gemm_mma_bf16").run(
            (2, 1), 128, buffer(a), buffer(b), fresh(c), 64, 128, 96, isa=isa, checks=checks
        )
        assert result.fault is None
        return c

    np.testing.assert_allclose(from_bf16(a) @ from_bf16(b), on_every_build(run), atol=2e-5)


def test_a_missing_wait_for_asynchronous_copies_is_caught(cuda, buffer, fresh):
    source = (FOLDERS[1] / "gemm_mma_bf16.cu").read_text()
    a = np.zeros((64, 64), np.uint16)
    arguments = (1, 128, buffer(a), buffer(a), fresh(np.zeros((64, 64), np.float32)), 64, 64, 64)
    assert cuda(source).run(*arguments).fault is None
    assert cuda(source.replace("wait_group 1", "wait_group 2")).run(*arguments).fault is not None


def test_wmma_gemm_in_fp16(kernel, buffer, fresh, rng):
    a, b = rng.standard_normal((32, 48)).astype(np.float16), rng.standard_normal((48, 32)).astype(np.float16)

    def run(isa, checks):
        c = np.zeros((32, 32), np.float32)
        result = kernel("wmma_gemm").run(1, 128, buffer(a), buffer(b), fresh(c), 32, 32, 48, isa=isa, checks=checks)
        assert result.fault is None
        return c

    np.testing.assert_allclose(a.astype(np.float64) @ b, on_every_build(run), atol=2e-5)


def test_sum_by_atomics(kernel, buffer, written, rng):
    x = rng.integers(-50, 50, 5000).astype(np.float32)

    def run(isa, checks):
        total = np.zeros(1, np.float32)
        assert kernel("reduce_sum").run(5, 256, buffer(x), written(total), 5000, isa=isa, checks=checks).fault is None
        return total

    assert x.sum() == on_every_build(run)[0]


def test_four_bit_weights(kernel, buffer, fresh, rng):
    m, n, k = 3, 10, 512
    x, scales = rng.standard_normal((m, k)).astype(np.float16), (rng.random((n, k // 128)) / 8).astype(np.float16)
    nibbles = rng.integers(0, 16, (n, k)).astype(np.uint32)
    words = np.zeros((n, k // 8), np.uint32)
    for element, place in enumerate((0, 4, 1, 5, 2, 6, 3, 7)):
        words |= nibbles[:, element::8] << np.uint32(4 * place)

    def run(isa, checks):
        y = np.zeros((m, n), np.float16)
        result = kernel("w4a16").run(
            (3, m), 128, buffer(x), buffer(words), buffer(scales), fresh(y), n, k, isa=isa, checks=checks
        )
        assert result.fault is None
        return y

    weights = (nibbles.astype(np.float64) - 8) * np.repeat(scales.astype(np.float64), 128, 1)
    np.testing.assert_allclose(x.astype(np.float64) @ weights.T, on_every_build(run), atol=2e-2)


def test_block_sparse_attention(kernel, buffer, fresh, rng):
    heads, length, size, blocks = 1, 128, 64, ((0,), (0, 1))
    q, k, v = (to_bf16(rng.standard_normal((heads, length, size))) for _ in range(3))
    starts = np.cumsum([0, *map(len, blocks)]).astype(np.int32)
    columns = np.concatenate(blocks).astype(np.int32)

    def run(isa, checks):
        o = np.zeros((heads, length, size), np.uint16)
        tensors = (buffer(q), buffer(k), buffer(v), fresh(o), buffer(starts), buffer(columns))
        result = kernel("block_sparse_attention").run((2, heads), 64, *tensors, length, 0.125, isa=isa, checks=checks)
        assert result.fault is None
        return o

    scores = from_bf16(q) @ from_bf16(k).transpose(0, 2, 1) / 8
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    expected = p / p.sum(-1, keepdims=True) @ from_bf16(v)
    np.testing.assert_allclose(expected, from_bf16(on_every_build(run)), atol=1.5e-2)


def test_mixture_of_experts(kernel, buffer, written, rng):
    experts, tokens, n, k, counts = 3, 40, 64, 64, (16, 32, 16)
    x, w = to_bf16(rng.standard_normal((tokens, k))), to_bf16(rng.standard_normal((experts, k, n)))
    token = np.concatenate([rng.permutation(tokens)[:c] for c in counts]).astype(np.int32)
    start, gate = np.cumsum([0, *counts]).astype(np.int32), rng.random(len(token)).astype(np.float32)
    y = np.zeros((tokens, n), np.float32)
    tensors = (buffer(x), buffer(w), written(y), buffer(token), buffer(start), buffer(gate))
    assert kernel("moe_gemm").run((1, 4), 128, *tensors, experts, n, k).fault is None
    expected = np.zeros((tokens, n))
    for expert in range(experts):
        for i in range(start[expert], start[expert + 1]):
            expected[token[i]] += gate[i] * (from_bf16(x[token[i]]) @ from_bf16(w[expert]))
    np.testing.assert_allclose(expected, y, atol=1e-4)


def test_sparse_convolution(kernel, buffer, written, rng):
    capacity, inputs, outputs = 256, 16, 24
    places = np.unique(rng.integers(0, 4, (200, 3)), axis=0)
    n = len(places)
    points = np.concatenate([np.zeros((n, 1), int), places], 1).astype(np.int32)
    keys, indices = np.full(capacity, 2**64 - 1, np.uint64), np.zeros(capacity, np.int32)
    pairs, counts = np.zeros((27, n, 2), np.int32), np.zeros(27, np.int32)
    x = rng.standard_normal((n, inputs)).astype(np.float16)
    w = rng.standard_normal((27, inputs, outputs)).astype(np.float16)
    y = np.zeros((n, outputs), np.float32)
    file = "sparse_convolution"
    build = kernel(file, "build_hash").run(2, 64, buffer(points), written(keys), written(indices), n, capacity)
    tensors = (buffer(points), buffer(keys), buffer(indices), written(pairs), written(counts))
    find = kernel(file, "find_pairs").run((2, 27), 64, *tensors, n, capacity)
    tensors = (buffer(x), buffer(w), written(y), buffer(pairs), buffer(counts))
    multiply = kernel(file, "multiply_pairs").run((4, 27), 32, *tensors, n, inputs, outputs, shared=4 * inputs)
    assert (None, None, None) == (build.fault, find.fault, multiply.fault)
    at = {tuple(place): i for i, place in enumerate(places)}
    expected = np.zeros((n, outputs))
    for offset in range(27):
        shift = np.array((offset % 3 - 1, offset // 3 % 3 - 1, offset // 9 - 1))
        for i, place in enumerate(places):
            neighbour = at.get(tuple(place + shift))
            if neighbour is not None:
                expected[i] += x[neighbour].astype(np.float64) @ w[offset].astype(np.float64)
    np.testing.assert_allclose(expected, y, atol=1e-4)


def _wrapped(value):
    return (value + 2**31) % 2**32 - 2**31


def _divergence(v):
    table, total = [_wrapped(k * v) for k in range(32)], 0
    for a in range(v & 15):
        if int(np.fmod(a ^ v, 3)) == 0:
            continue
        for b in range(a):
            if b * v > 97:
                break
            total = _wrapped(total + table[(a * b + v) & 31])
        match v & 7:
            case 0:
                total = _wrapped(total * 3)
            case 1:
                total ^= v
            case 2:
                total = _wrapped(total + 5)
            case 3:
                total = _wrapped(total - 2)
            case 5:
                total = 32 - (total & 0xFFFFFFFF).bit_length()
            case _:
                total = _wrapped(total + (v & 0xFFFFFFFF).bit_count())
        if total > 1000000:
            return -1
    return total


def test_lanes_that_leave_in_every_direction(kernel, buffer, fresh, rng):
    x = rng.integers(-60, 60, 500).astype(np.int32)

    def run(isa, checks):
        y = np.zeros(500, np.int32)
        result = kernel("divergence").run(4, 128, buffer(x), fresh(y), 500, isa=isa, checks=checks)
        assert result.fault is None
        return y

    assert [_divergence(int(v)) for v in x] == on_every_build(run).tolist()


def test_pointers_move_in_the_lanes_that_are_there(ptx, fresh):
    """An amount that is the same in all lanes, worked out while the first lanes are elsewhere."""
    kernel = ptx(
        """.visible .entry k(.param .u64 out, .param .u32 n) {
        .reg .b32 %r<4>; .reg .b64 %rd<5>; .reg .pred %p<2>;
        ld.param.u64 %rd0, [out]; ld.param.u32 %r0, [n]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, 4;
        add.s64 %rd2, %rd0, %rd1; setp.lt.u32 %p0, %r1, 8; @%p0 bra DONE;
        mul.wide.u32 %rd3, %r0, 4; add.s64 %rd2, %rd2, %rd3; add.s64 %rd2, %rd3, %rd2;
        DONE: st.global.u32 [%rd2], %r1; ret; }"""
    )

    def run(isa, checks):
        places = np.zeros(64, np.uint32)
        result = kernel.run(1, 32, fresh(places), 12, isa=isa, checks=checks)
        assert result.fault is None
        return places

    expected = np.zeros(64, np.uint32)
    expected[:8], expected[32:56] = np.arange(8), np.arange(8, 32)
    assert np.array_equal(expected, on_every_build(run))


WIDE_QUOTIENTS = """extern "C" __global__ void k(const long long* a, const long long* b, long long* low,
                                                long long* high) {
    __int128 q = (__int128(a[threadIdx.x]) * b[threadIdx.x]) / 12345678901234567ll;
    low[threadIdx.x] = q;
    high[threadIdx.x] = q >> 64;
}"""


def test_quotients_of_128_bits(cuda, buffer, fresh):
    rng = np.random.default_rng(5)
    a, b = rng.integers(-(2**63), 2**63, (2, 64), dtype=np.int64)
    low, high = np.zeros((2, 64), np.int64)
    found = cuda(WIDE_QUOTIENTS).run(1, 64, buffer(a), buffer(b), fresh(low), fresh(high))
    assert found.fault is None
    for x, y, lo, hi in zip(*(v.tolist() for v in (a, b, low, high)), strict=True):
        magnitude = abs(x * y) // 12345678901234567
        assert (magnitude if x * y >= 0 else -magnitude) == hi << 64 | lo & (2**64 - 1)
