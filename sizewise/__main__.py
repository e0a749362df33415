"""The command line. Nothing heavy is imported before a command needs it: ``--help`` answers at once."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from automl_core.errors import SizewiseError
from circuits import commands as circuit_commands
from nn_compression import commands as network_commands
from sizewise.comparing import compare
from sizewise.resuming import resume

__all__ = ["app", "main"]

app = typer.Typer(
    name="sizewise",
    help="Sizes analog circuits (`size`: a netlist and specs in; the W, L, R, C and m of every device out) and "
    "compresses neural networks (`compress`: a torch model, data and a budget in; a smaller model out).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: tuple[Callable[..., None], ...] = (*circuit_commands.COMMANDS, *network_commands.COMMANDS, resume, compare)
for command in _COMMANDS:
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sizewise {version('sizewise')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def doctor() -> None:
    """Say what the machine has and what it lacks, and what to install."""
    from sizewise.doctor import examine

    raise typer.Exit(examine())


def main() -> None:
    """Run the command line: an error is one message on stderr and an exit status, never a traceback."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app()
    except SizewiseError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    except SystemExit as ended:
        if ended.code == 130:  # typer has seen a KeyboardInterrupt, or a command has
            _leave()
        raise
    except KeyboardInterrupt:
        _leave()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {where}{error.strerror or error}\n  check the space and the rights there\n")
        sys.exit(2)


def _leave() -> NoReturn:
    """End with status 130.

    Not by ``sys.exit``: an interrupt inside ``eval``, which imports are full of, has Python end itself by the signal
    later on, although it was caught (``Py_RunMain`` and ``_Py_UnhandledKeyboardInterrupt``, CPython 3.11).
    """
    with suppress(OSError):
        sys.stderr.write("stopped\n")
        sys.stdout.flush()
        sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(130)


if __name__ == "__main__":
    main()
