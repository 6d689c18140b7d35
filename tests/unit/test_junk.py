"""What memory that nobody has written holds while blocks are sampled."""

from __future__ import annotations

import numpy as np
import pytest

from warpsmith.core.dtype import DType
from warpsmith.sandbox.junk import floating_junk

FORMATS = {DType.FLOAT64: np.float64, DType.FLOAT32: np.float32, DType.FLOAT16: np.float16}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("sign", "low", "high"), [(0, 0.5, 1.0), (1, 512.0, 1024.0), (-1, 64.0, 128.0)])
def test_junk_lies_in_its_sign_s_octave(dtype, sign, low, high):
    values = floating_junk(dtype, 4096 * dtype.itemsize, sign, 7).view(FORMATS[dtype])
    assert (low <= np.abs(values)).all()
    assert (np.abs(values) < high).all()
    assert set(np.sign(values)) == ({sign} if sign else {-1.0, 1.0})
    assert len(np.unique(np.abs(values))) > 500


def test_bfloat16_junk_has_float32_s_exponents():
    words = floating_junk(DType.BFLOAT16, 2048, 1, 7).view(np.uint16)
    values = (words.astype(np.uint32) << 16).view(np.float32)
    assert ((values >= 512) & (values < 1024)).all()


def test_every_seed_has_junk_of_its_own():
    one, other, again = (floating_junk(DType.FLOAT32, 4096, 0, seed) for seed in (1, 2, 1))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, again)
