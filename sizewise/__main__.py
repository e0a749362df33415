"""The command line. Nothing heavy is imported before a command needs it: ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from automl_core.errors import SizewiseError
from circuits import commands as circuit_commands
from sizewise.comparing import compare

__all__ = ["app", "main"]

app = typer.Typer(
    name="sizewise",
    help="Sizes analog circuits: a netlist and specs in; the W, L, R, C and multipliers of every device out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (*circuit_commands.COMMANDS, compare):
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
            sys.stderr.write("stopped\n")
        raise
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {where}{error.strerror or error}\n  check the space and the rights there\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
