"""`warpsmith serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from warpsmith.cli.options import Json, Library, StoreFile

PORT = 8877


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes any free one.")] = PORT,
    library: Library = None,
    store: StoreFile = None,
    as_json: Json = False,
) -> int:
    """Show leaderboard and runs in a browser on this machine, and follow runs while they last; Ctrl-C ends it."""
    from warpsmith.cli.output import GOOD, console, emit, say
    from warpsmith.kernels_generated.places import search_path
    from warpsmith.kernels_generated.shelf import Shelf, read_shelf
    from warpsmith.leaderboard.live import Answers, serve
    from warpsmith.settings import read_settings

    settings = read_settings()
    folders, file = search_path(library or settings.library), (store or settings.store).expanduser()

    def shelf() -> Shelf:
        return read_shelf(folders, settings.cache)

    with serve(lambda: Answers(shelf, file), port) as listening:
        if as_json:
            emit({"url": listening.url, "port": listening.port, "library": str(folders[0]), "store": str(file)})
        else:
            console().print(f"{listening.url} shows {folders[0]} and {file}; Ctrl-C ends it", markup=False)
        if not file.exists():
            say(f"there is no store {file} yet; runs appear once there is one")
        try:
            listening.run()
        except KeyboardInterrupt:
            say("ended")
    return GOOD
