"""Charts as SVG: marks take their colours from the page's style sheet, and each chart says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 32, 48

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its range, whether it is logarithmic, and its title with the unit."""

    title: str
    low: float
    high: float
    log: bool = False
    form: str = "g"
    """Of its numbers: `.0%` for shares."""

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        low, high, value = (math.log10(it) if self.log else it for it in (self.low, self.high, value))
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> tuple[float, ...]:
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for factors in ((1,), (1, 3), (1, 2, 5)):
                found = [10.0**power * factor for power in powers for factor in factors]
                found = [at for at in found if self.low <= at <= self.high]
                if len(found) >= 3:
                    break
            return tuple(found[:: max(1, len(found) // 6)])
        step = _round_step((self.high - self.low) / 5)
        lowest, highest = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(number * step for number in range(lowest, highest + 1))


def _round_step(raw: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if raw <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))


def progress(points: Sequence[Point], unit: str) -> Markup:
    """Best fraction of the bound so far, as steps, over evaluations or dollars."""
    high = max((x for x, _ in points), default=0) or 1.0
    x, y = Axis(unit, 0, high), Axis("best fraction of the bound so far", 0, _above(y for _, y in points), form=".0%")
    corners = _corners(points)
    line = _polyline([*points[:1], *corners, *([(high, points[-1][1])] if points else [])], x, y, "line")
    dots = "".join(_dot(x, y, point, f"{point[1]:.1%} at {point[0]:g} {unit}") for point in points)
    last = f"{points[-1][1]:.1%}" if points else "nothing"
    return _chart(f"Best so far against {unit}: {last} in the end", x, y, line + dots)


def fast_p(ratios: Sequence[float], against: str) -> Markup:
    """Share of tasks whose best kernel is more than p times as fast as `against`; a failure has ratio 0."""
    won = [ratio for ratio in ratios if ratio > 0]
    low, high = min((*won, 0.8)) * 0.8, max((*won, 4.0)) * 1.25
    x, y = (
        Axis(f"p, times as fast as {against}", low, high, log=True),
        Axis("share of tasks faster than p", 0, 1, form=".0%"),
    )
    points = [(p, sum(ratio > p for ratio in ratios) / len(ratios)) for p in sorted({low, *won})] if ratios else []
    corners = _corners(points)
    end = [(high, points[-1][1])] if points else []
    one = f'<path class="guide" d="M{_x(x, 1):.1f} {_y(y, 0):.1f}V{_y(y, 1):.1f}"/>'
    share = f"{sum(ratio > 1 for ratio in ratios)} of {len(ratios)} tasks are faster than {against}"
    return _chart(share, x, y, one + _polyline([*points[:1], *corners, *end], x, y, "line"))


@dataclass(frozen=True, slots=True)
class Attained:
    """One workload on the roofline."""

    name: str
    flops: float
    bytes: float
    time_us: float
    bound_us: float


def roofline(items: Sequence[Attained], dram_gbps: float) -> Markup:
    """Attained TFLOP/s and the bound of each workload over its arithmetic intensity, with DRAM's slope."""
    drawn = [it for it in items if it.flops > 0 and it.bytes > 0]
    if not drawn:
        return Markup('<p class="quiet">No roofline: the task counts no floating-point operations.</p>')
    intensity = [it.flops / it.bytes for it in drawn]
    rates = [it.flops / us * 1e-6 for it in drawn for us in (it.time_us, it.bound_us)]
    x = Axis("FLOP per byte of compulsory traffic", min(intensity) / 2, max(intensity) * 2, log=True)
    y = Axis("TFLOP/s", min(rates) / 2, max(rates) * 2, log=True)
    ends = [(at, at * dram_gbps * 1e-3) for at in (x.low, x.high)]
    marks = [_polyline([_clipped(ends, y, 0), _clipped(ends, y, 1)], x, y, "guide")]
    for it, at in zip(drawn, intensity, strict=True):
        mine, best = (it.flops / us * 1e-6 for us in (it.time_us, it.bound_us))
        marks.append(_polyline([(at, mine), (at, best)], x, y, "thin"))
        marks.append(f'<path class="cap" d="M{_x(x, at) - 6:.1f} {_y(y, best):.1f}h12"/>')
        marks.append(_dot(x, y, (at, mine), f"{it.name}: {mine:.3g} of {best:.3g} TFLOP/s"))
    names = "; ".join(f"{it.name} at {it.bound_us / it.time_us:.1%} of its bound" for it in drawn)
    return _chart(f"Roofline. {names}", x, y, "".join(marks))


def _clipped(ends: list[Point], y: Axis, which: int) -> Point:
    """An end of the slope, moved along it into the drawn range; both axes are logarithmic."""
    (x0, y0), slope = ends[which], ends[0][1] / ends[0][0]
    inside = min(max(y0, y.low), y.high)
    return (x0, y0) if inside == y0 else (inside / slope, inside)


def _corners(points: Sequence[Point]) -> list[Point]:
    """A step's corners behind its first point."""
    return [corner for before, now in pairwise(points) for corner in ((now[0], before[1]), now)]


def _above(values: Iterable[float]) -> float:
    top = max(values, default=0.0)
    return min(1.0, max(0.05, top * 1.15))


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _polyline(points: Sequence[Point], x: Axis, y: Axis, kind: str) -> str:
    places = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in points)
    return f'<polyline class="{kind}" points="{places}"/>' if len(points) > 1 else ""


def _dot(x: Axis, y: Axis, point: Point, says: str) -> str:
    at, up = _x(x, point[0]), _y(y, point[1])
    return f'<circle class="dot" cx="{at:.1f}" cy="{up:.1f}" r="4"><title>{escape(says)}</title></circle>'


def _chart(says: str, x: Axis, y: Axis, marks: str) -> Markup:
    base, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    grid = "".join(
        f'<path class="grid" d="M{LEFT} {_y(y, at):.1f}H{end}"/>'
        f'<text x="{LEFT - 6}" y="{_y(y, at) + 4:.1f}" text-anchor="end">{at:{y.form}}</text>'
        for at in y.ticks()
    ) + "".join(f'<text x="{_x(x, at):.1f}" y="{base + 19}" text-anchor="middle">{at:g}</text>' for at in x.ticks())
    titles = (
        f'<text class="title" x="{(LEFT + end) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.title)}</text>'
        f'<text class="title" x="{LEFT}" y="{TOP - 12}">{escape(y.title)}</text>'
    )
    frame = f'<path class="axis" d="M{LEFT} {TOP}V{base}H{end}"/>'
    return Markup(  # noqa: S704 - every text in it is escaped above
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(says)}">'
        f"{grid}{frame}{marks}{titles}</svg>"
    )
