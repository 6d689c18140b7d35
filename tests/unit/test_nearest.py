"""The name a reader most likely meant is suggested; a name of another thing is not."""

from __future__ import annotations

import pytest

from warpsmith.core.nearest import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("has_zero", ["has_x", "has_zeros"], "Did you mean `has_zeros`?"),
        ("has_c", ["has_x", "has_y"], "Known are: has_x, has_y."),
        ("sclaes_t", ["x_t", "scales_t"], "Did you mean `scales_t`?"),
        ("c_t", ["x_t", "y_t"], "Known are: x_t, y_t."),
        ("hasx", ["M", "has_x"], "Did you mean `has_x`?"),
        ("n", ["M", "N"], "Did you mean `N`?"),
        ("x", [], ""),
    ],
)
def test_names_that_share_only_what_all_of_their_kind_share_are_not_alike(
    name: str, known: list[str], said: str
) -> None:
    assert said == did_you_mean(name, known)
