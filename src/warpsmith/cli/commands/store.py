"""`warpsmith store check | compact | export | import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, StoreFile
from warpsmith.cli.output import GOOD, UNHAPPY, console, emit

if TYPE_CHECKING:
    from warpsmith.store.archive import Archived

program = typer.Typer(
    help="Look after the file that runs are recorded in.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="Folder of the archive.", metavar="DIR")]


def _path(store: Path | None) -> Path:
    from warpsmith.settings import read_settings

    return store or read_settings().store


@program.command("check")
def check(store: StoreFile = None, as_json: Json = False) -> int:
    """Read every page, event and text; exit code 1 where something recorded cannot be read."""
    from warpsmith.store.archive import reading
    from warpsmith.store.database import SALVAGE
    from warpsmith.store.inspection import inspect

    with reading(_path(store)) as opened:
        found = inspect(opened)
    if as_json:
        emit({name: getattr(found, name) for name in ("runs", "events", "incumbents", "bytes", "problems", "remarks")})
        return UNHAPPY if found.problems else GOOD
    out = console()
    out.print(f"{found.runs} runs, {found.events} events, {found.incumbents} incumbents, {found.bytes} bytes")
    for problem in found.problems:
        out.print(f"damage: {problem}", markup=False, soft_wrap=True)
    for remark in found.remarks:
        out.print(remark, markup=False, soft_wrap=True)
    out.print(SALVAGE if found.problems else "sound", markup=False, soft_wrap=True)
    return UNHAPPY if found.problems else GOOD


@program.command("compact")
def compact(store: StoreFile = None, as_json: Json = False) -> int:
    """Make the file as small as what it holds; takes as much free disk space as the store for a moment."""
    from warpsmith.core.errors import StoreError
    from warpsmith.store import Store

    path = _path(store)
    if not path.is_file():
        raise StoreError(f"there is no store {path}.", remedy="Name it with --store FILE or WARPSMITH_STORE.")
    with Store.open(path) as opened:
        before, after = opened.compact()
    if as_json:
        emit({"before": before, "after": after})
    else:
        console().print(f"{before} bytes before, {after} after")
    return GOOD


@program.command("export")
def export(folder: Folder, store: StoreFile = None, as_json: Json = False) -> int:
    """Write all runs and incumbents to text files in a new folder; of a damaged store, what can be read."""
    from warpsmith.store.archive import reading, write_archive

    with reading(_path(store)) as opened:
        return _told(write_archive(opened, folder), "written", as_json=as_json)


@program.command("import")
def import_archive(folder: Folder, store: StoreFile = None, as_json: Json = False) -> int:
    """Put an exported archive into the store: runs that are not in it, incumbents whose places are empty."""
    from warpsmith.store import Store
    from warpsmith.store.archive import read_archive

    with Store.open(_path(store)) as opened:
        return _told(read_archive(folder, opened), "read", as_json=as_json)


def _told(done: Archived, verb: str, *, as_json: bool) -> int:
    if as_json:
        emit({name: getattr(done, name) for name in ("runs", "events", "incumbents", "problems")})
    else:
        console().print(f"{done.runs} runs with {done.events} events and {done.incumbents} incumbents {verb}")
        for problem in done.problems:
            console().print(problem, markup=False, soft_wrap=True)
    return UNHAPPY if done.problems else GOOD
