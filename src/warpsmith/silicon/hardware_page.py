"""The generated part of `docs/hardware.md`: what GPUs answered, beside what the emulator and the model say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import correlation
from typing import Any

FIGURE = "model's figure"
NOTHING = "Nothing has been measured yet: no GPU was at hand. `make gpu` measures, this page then shows it."


@dataclass(frozen=True, slots=True)
class Results:
    """All files of one GPU."""

    gpu: str
    files: Mapping[str, Mapping[str, Any]]

    def units(self, file: str) -> Mapping[str, Any]:
        """Units by name."""
        return self.files.get(file, {})


@dataclass(frozen=True, slots=True)
class Point:
    """One kernel at one workload, modelled and measured."""

    kernel: str
    workload: str
    modelled: float
    measured: float
    low: float
    high: float
    bound: float


def page(every: Sequence[Results]) -> str:
    """Markdown for all GPUs."""
    if not every:
        return NOTHING
    return "\n\n".join("\n".join(_gpu(results)) for results in every)


def unexplained(every: Sequence[Results], written: str) -> list[str]:
    """Disagreements whose name the hand-written part of the page does not mention."""
    found = [name for results in every for name, _ in disagreements(results)]
    return [name for name in dict.fromkeys(found) if name not in written]


def disagreements(results: Results) -> Iterator[tuple[str, str]]:
    """(name, what differs) wherever emulator and hardware do not give the same bits, or the hardware says wrong."""
    for name, unit in results.units("agreement.json").items():
        if name.startswith("sanitizer/"):
            yield from _checkers(name, unit)
            continue
        if name.startswith("export/"):
            if unit.get("right") is False:
                yield "/".join(name.split("/")[:3]), str(unit.get("error"))
            continue
        label = "/".join(name.split("/")[:2])
        for item in unit.get("workloads", ()):
            yield from ((f"{label} at {item['workload']}", said) for said in _differing(item))
    for name, unit in results.units("golden.json").items():
        difference = unit.get("difference", {})
        if difference.get("differing"):
            yield unit.get("opcode", name), _steps(difference)


def points(results: Results) -> list[Point]:
    """Every kernel and workload that has both times."""
    times = results.units("times.json")
    found = []
    for unit in times.values():
        model = times.get(f"model/{unit.get('subject')}", {}).get("workloads", {}).get(unit.get("workload"))
        if unit.get("source") == "measured" and "kernel" in unit and model:
            kernel = f"{unit['task']} {unit['origin']}"
            low, high = unit["low us"], unit["high us"]
            us = (model["modelled us"], unit["us"], low, high, model["bound us"])
            found.append(Point(kernel, unit["workload"], *us))
    return sorted(found, key=lambda point: (point.kernel, point.workload))


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; None where ranks have no spread."""
    first, second = (_ranks([pair[side] for pair in pairs]) for side in (0, 1))
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return correlation(first, second)


def _ranks(values: Sequence[float]) -> list[float]:
    counts, below, rank = Counter(values), 0, {}
    for value in sorted(counts):
        rank[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    return [rank[value] for value in values]


def _gpu(results: Results) -> Iterator[str]:
    run = results.units("run.json")
    device, versions = run.get("device", {}), run.get("versions", {})
    yield f"### {device.get('name', results.gpu)}"
    yield ""
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"{device.get('sms', '?')} multiprocessors, compute capability {device.get('capability', '?')}; {told}."
    for heading, body in (
        ("Disagreements", _disagreements(results)),
        ("Modelled and measured time", _times(results)),
        ("Baselines", _baselines(results)),
        ("Calibration", _calibration(results)),
        ("Counters", _counters(results)),
    ):
        yield from ("", f"#### {heading}", "", *body)
    left = run.get("left out", ())
    if left:
        yield f"\n{len(left)} units had no time yet: {', '.join(left[:5])}{' …' if len(left) > 5 else ''}."


def _disagreements(results: Results) -> Iterator[str]:
    compared = sum(len(unit.get("workloads", ())) for unit in results.units("agreement.json").values())
    asked = len(results.units("golden.json"))
    found = list(disagreements(results))
    yield f"{compared} workloads and {asked} instructions were compared; {len(found)} differ."
    if found:
        yield ""
        yield from _table(("what", "how"), found)


def _times(results: Results) -> Iterator[str]:
    every = points(results)
    if not every:
        yield "None yet."
        return
    rank = spearman([(point.modelled, point.measured) for point in every])
    yield f"Spearman's rank correlation over {len(every)} pairs: {'none' if rank is None else f'{rank:.3f}'}."
    yield ""
    header = ("kernel", "workload", "modelled us", "measured us", "95 % interval", "modelled / measured", "of bound")
    yield from _table(
        header,
        (
            (
                *(point.kernel, point.workload, f"{point.modelled:.4g}", f"{point.measured:.4g}"),
                *(f"{point.low:.4g} to {point.high:.4g}", f"{point.modelled / point.measured:.2f}"),
                f"{100 * point.bound / point.measured:.1f} %",
            )
            for point in every
        ),
    )


def _baselines(results: Results) -> Iterator[str]:
    units = [unit for unit in results.units("times.json").values() if "baseline" in unit]
    if not units:
        yield "None yet."
        return
    rows = (
        (
            unit["task"],
            unit["workload"],
            unit["baseline"],
            f"{unit['us']:.4g}" if "us" in unit else "absent",
            _why(unit),
        )
        for unit in sorted(units, key=lambda unit: (unit["task"], unit["workload"], unit["baseline"]))
    )
    yield from _table(("task", "workload", "baseline", "measured us", "remark"), rows)


def _calibration(results: Results) -> Iterator[str]:
    units = results.units("calibration.json")
    if not units:
        yield "None yet."
        return
    rows = (
        (
            *(name.rpartition("/")[2], f"{unit['value']:.4g}" if "value" in unit else unit.get("failed", "")),
            *(f"{unit.get(FIGURE, 0):.4g}", unit.get("unit", "")),
        )
        for name, unit in units.items()
    )
    yield from _table(("figure", "measured", "the model's", "unit"), rows)


def _counters(results: Results) -> Iterator[str]:
    units = results.units("counters.json")
    if not units:
        yield "None yet."
        return
    rungs = Counter(str(unit.get("rung", "failed")) for unit in units.values())
    yield f"Rungs: {', '.join(f'{rung} {count}' for rung, count in rungs.items())}."
    reasons: dict[str, str] = {}
    for unit in units.values():
        if unit.get("reason"):
            reasons.setdefault("all of them", str(unit["reason"]))
        for launch in unit.get("launches", ()):
            for metric in launch["metrics"]:
                if metric["reason"]:
                    reasons.setdefault(metric["name"], metric["reason"])
    if reasons:
        yield ""
        yield from _table(("metric", "remark"), reasons.items())


def _differing(item: Mapping[str, Any]) -> Iterator[str]:
    for who in ("gpu", "emulator"):
        said = item.get(who)
        if isinstance(said, Mapping):
            yield f"{who}: {said.get('outcome')}: {said.get('message', '')[:160]}"
    oracle = item.get("oracle", {})
    if oracle.get("right") is False:
        yield f"gpu: wrong: {oracle.get('message', '')[:160]}"
    for name, difference in item.get("outputs", {}).items():
        if difference["differing"] and not item.get("order is free"):
            yield f"{name}: {_steps(difference)}"


def _checkers(name: str, unit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for tool, answer in unit.items():
        if isinstance(answer, Mapping) and answer.get("failure"):
            yield "/".join(name.split("/")[1:3]) + f" under {tool}", str(answer["failure"]["message"])[:200]


def _steps(difference: Mapping[str, Any]) -> str:
    steps, where = difference["largest steps"], difference["at"]
    return f"{difference['differing']} of {difference['elements']} differ, by {steps} steps at most (at {where})"


def _why(unit: Mapping[str, Any]) -> str:
    if unit.get("absent"):
        return str(unit["absent"])
    otherwise = [unit["computes otherwise"]] if unit.get("computes otherwise") else []
    return "; ".join([*otherwise, *unit.get("notes", ())]) or str(unit.get("version", ""))


def _table(header: Sequence[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '/').replace(chr(10), ' ') for cell in row)} |"
