"""The commands, joined; and the one place where an exception becomes a message and an exit code."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from warpsmith.cli.commands import (
    doctor,
    emulate,
    export,
    import_,
    leaderboard,
    library,
    optimize,
    profile,
    prompt,
    replay,
    resume,
    runs,
    serve,
    store,
    tasks,
    verify,
)
from warpsmith.cli.output import (
    BAD_INPUT,
    INTERRUPTED,
    UNHEARD,
    report_bug,
    report_error,
    report_failure,
    report_os_error,
    silence,
)
from warpsmith.core.errors import Interrupted, WarpsmithError

program = typer.Typer(
    name="warpsmith",
    help="Write verified, fast GPU kernels, with or without a GPU.",
    epilog="Exit codes: 0 accepted or verified, 1 not, 2 wrong input, 3 this machine lacks something, 130 Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
program.command("optimize")(optimize.optimize)
program.command("resume")(resume.resume)
program.command("replay")(replay.replay)
program.add_typer(runs.program, name="runs")
program.add_typer(store.program, name="store")
program.command("prompt")(prompt.prompt)
program.command("verify")(verify.verify)
program.command("profile")(profile.profile)
program.command("emulate")(emulate.emulate)
program.add_typer(tasks.program, name="tasks")
program.add_typer(library.program, name="library")
program.command("import")(import_.import_)
program.command("export")(export.export)
program.command("leaderboard")(leaderboard.leaderboard)
program.command("serve")(serve.serve)
program.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"warpsmith {version('warpsmith')}")
        raise typer.Exit


@program.callback()
def root(
    _wanted: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Hold what stands before a command."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code.

    Our errors become one message, without a traceback; a bug of ours shows its traceback and exits with 3.
    """
    as_json = "--json" in arguments
    if not arguments:
        arguments = ["--help"]
    try:
        code = program(list(arguments), standalone_mode=False, prog_name="warpsmith")
    except WarpsmithError as error:
        return report_error(error, as_json=as_json)
    except typer.TyperException as error:
        message = error.format_message().rstrip(".") + "."
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "warpsmith"
        report_failure("UsageError", message, f"See {command} --help.", as_json=as_json)
        return BAD_INPUT
    except typer.Abort:
        code = INTERRUPTED
    except SystemExit:  # rich and typer leave so where a pipe's reader has gone
        silence()
        return UNHEARD
    except OSError as error:
        return report_os_error(error, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last stop: a bug of ours must not exit like a verdict
        return report_bug(error, as_json=as_json)
    if code == INTERRUPTED:
        return report_error(Interrupted("interrupted."), as_json=as_json)
    return int(code or 0)
