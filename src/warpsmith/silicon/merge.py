"""Takes the results of `make gpu` into a repository: `python -m warpsmith.silicon.merge FOLDER`.

FOLDER's units are put beside those in `benchmarks/results/<gpu>/`, newer ones replacing older ones of the same name,
and the generated part of `docs/hardware.md` is written anew from all results there are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from warpsmith.core.errors import SettingsError, WarpsmithError
from warpsmith.silicon.box import FILES
from warpsmith.silicon.hardware_page import Results, page, unexplained

ROOT = Path(__file__).resolve().parents[3]
BEGIN, END = "<!-- results: written by `python -m warpsmith.silicon.merge` -->", "<!-- end of results -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 where a disagreement between emulator and hardware is not explained in the page yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="what GPU_OUT named; default: write the page alone")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    options = parser.parse_args(arguments)
    results, document = options.root / "benchmarks" / "results", options.root / "docs" / "hardware.md"
    try:
        if options.folder is not None:
            merge(options.folder, results)
        every = read_all(results)
        text = write_between(document.read_text(), page(every))
    except (WarpsmithError, OSError) as error:
        sys.stderr.write(f"merge: {error}\n")
        return 1
    document.write_text(text)
    open_ones = unexplained(every, text.partition(BEGIN)[0] + text.partition(END)[2])
    for item in open_ones:
        sys.stdout.write(f"not explained in {document.name} yet: {item}\n")
    return 1 if open_ones else 0


def merge(folder: Path, results: Path) -> Path:
    """Put a run's units beside those of its GPU; the folder they are in now.

    Raises:
        SettingsError: `folder` holds no results of `make gpu`.
    """
    run = read(folder, "run.json")
    if "device" not in run:
        raise SettingsError(f"{folder} holds no run.json of `make gpu`.")
    target = results / slug(str(run["device"]["name"]))
    target.mkdir(parents=True, exist_ok=True)
    if target.resolve() == folder.resolve():
        return target
    for name in FILES:
        units = read(folder, name)
        if units:
            merged = units if name == "run.json" else {**read(target, name), **units}
            (target / name).write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n")
    return target


def read_all(results: Path) -> tuple[Results, ...]:
    """Every GPU's results, by name."""
    folders = sorted(path.parent for path in results.glob("*/run.json"))
    return tuple(Results(folder.name, {name: read(folder, name) for name in FILES}) for folder in folders)


def read(folder: Path, name: str) -> Mapping[str, Any]:
    """One file's units; none where it is absent.

    Raises:
        SettingsError: it is no JSON object.
    """
    path = folder / name
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise SettingsError(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{path} holds no results.")
    return found


def slug(name: str) -> str:
    """`nvidia-h200` for "NVIDIA H200"."""
    return "-".join("".join(char if char.isalnum() else " " for char in name.lower()).split())


def write_between(text: str, generated: str) -> str:
    """The document with its generated part replaced.

    Raises:
        SettingsError: it has no such part.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SettingsError(f"the page lacks the lines {BEGIN!r} and {END!r}.")
    return f"{before}{BEGIN}\n\n{generated.strip()}\n\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
