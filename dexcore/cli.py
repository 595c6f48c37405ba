"""The command line: ``dexcore serve``, and what helps before and after.

What a command needs is imported when it runs, so that ``dexcore version`` and a shell's
completion are instant.
"""

from __future__ import annotations

import gc
import linecache
import os
import platform
import sys

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from . import __version__
from .errors import DexcoreError

if TYPE_CHECKING:
    from .config.model import Config
    from .server.app import Server

#: dex's exit code for whatever kept it from serving, and for wrong usage.
CANNOT_SERVE = 2
#: ``dexcore check`` found errors.
NOT_VALID = 1


class _Commands(click.Group):
    """Our commands, then those of plugins, which are imported only when needed."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [*super().list_commands(context), *sorted(_commands_of_plugins())]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command called *name*."""
        return super().get_command(context, name) or _commands_of_plugins().get(name)


def _commands_of_plugins() -> dict[str, click.Command]:
    from .plugins import find

    return {command.name: command for command in find().commands() if command.name}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """A federated OpenID Connect provider made of plugins."""


@commands.command(short_help="Serve what a configuration file describes.")
@click.argument("file")
@click.option("--web-http-addr", default="", help="Instead of web.http.")
@click.option("--web-https-addr", default="", help="Instead of web.https.")
@click.option("--telemetry-addr", default="", help="Instead of telemetry.http.")
@click.option("--grpc-addr", default="", help="Instead of grpc.addr.")
@click.option(
    "--workers",
    default=1,
    type=click.IntRange(1, 256),
    help="How many processes; more than one needs a storage they can share.",
)
def serve(
    file: str,
    web_http_addr: str,
    web_https_addr: str,
    telemetry_addr: str,
    grpc_addr: str,
    workers: int,
) -> None:
    """Serve what the configuration FILE describes, until SIGTERM.

    SIGHUP loads the TLS certificate again.
    """
    overrides = {
        "web.http": web_http_addr,
        "web.https": web_https_addr,
        "telemetry.http": telemetry_addr,
        "grpc.addr": grpc_addr,
    }
    try:
        _serve(file, overrides, workers)
    except DexcoreError as error:
        _fail(error, CANNOT_SERVE)


@commands.command(short_help="Say what is wrong with a configuration file.")
@click.argument("file")
@click.option(
    "--format",
    "shape",
    default="text",
    type=click.Choice(["text", "json"]),
    help="For a person or for a program.",
)
def check(file: str, shape: str) -> None:
    """Say what is wrong with the configuration FILE, and what is unwise.

    Exits with 1 if the server would not start with it.
    """
    from .config.check import check as examine
    from .config.check import render_json, render_text
    from .config.problems import errors_of
    from .plugins import find

    problems = examine(file, find())
    render = render_json if shape == "json" else render_text
    click.echo(render(problems), nl=False)
    if errors_of(problems):
        sys.exit(NOT_VALID)


@commands.command(short_help="Say what is in the storage of a dex.")
@click.argument("file")
@click.option("--check", "checking", is_flag=True, help="Only look, write nothing.")
@click.option(
    "--format",
    "shape",
    default="text",
    type=click.Choice(["text", "json"]),
    help="For a person or for a program.",
)
def adopt(file: str, checking: bool, shape: str) -> None:
    """Say what is in the storage that the configuration FILE names.

    Nothing is written: taking over is what `dexcore serve` does when it starts, and
    this says what that will be.  Exits with 0 if all is fine, with 1 if something is
    worth a look, with 2 if the storage cannot be opened.
    """
    import asyncio

    from .config import load
    from .plugins import find
    from .server import adopt as adopting

    if not checking:
        raise click.UsageError("Give --check; `dexcore serve` takes over by itself.")
    try:
        found = asyncio.run(adopting.inspect(load(file), find()))
    except DexcoreError as error:
        _fail(error, adopting.IMPOSSIBLE)
    as_json = shape == "json"
    render = adopting.render_json if as_json else adopting.render_text
    click.echo(render(found), nl=False)
    sys.exit(adopting.exit_code(found))


@commands.command(short_help="Print a JSON Schema of the configuration file.")
def schema() -> None:
    """Print a JSON Schema of the configuration file, installed plugins included."""
    import orjson

    from .config.schema import schema as describe
    from .plugins import find

    text = orjson.dumps(describe(find()), option=orjson.OPT_INDENT_2)
    click.echo(text)


@commands.command(short_help="Show the installed plugins.")
@click.option("--json", "as_json", is_flag=True, help="For a program.")
def plugins(as_json: bool) -> None:
    """Show the installed plugins, and what is wrong with those that do not work."""
    from .plugins import find, render_report

    click.echo(render_report(find().report(), as_json).rstrip("\n"))


@commands.command()
def version() -> None:
    """Show the version."""
    click.echo(f"Dexcore Version: {__version__}")
    click.echo(f"Python Version: {platform.python_version()}")
    click.echo(f"OS/ARCH: {sys.platform} {platform.machine()}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``dexcore`` with *arguments* (those of the process) and exit."""
    commands.main(arguments, prog_name="dexcore")


# — serve ------------------------------------------------------------------------------


def _serve(file: str, overrides: dict[str, str], workers: int) -> None:
    collect_as_usual = _collect_less()
    from .config import load
    from .config.model import Logger
    from .server import logs
    from .server.run import announce, run
    from .server.workers import is_worker, tell_ready

    worker = is_worker(os.environ)
    # The file may be wrong, and says only then how to log.
    logs.configure(Logger())
    config = load(file, overrides=overrides)
    lines = logs.configure(config.logger)

    def ready() -> None:
        collect_as_usual()
        if worker:
            tell_ready()

    try:
        if not worker:
            announce(config)
        if workers > 1 and not worker:
            sys.exit(_supervise(file, config, overrides, workers))
        opener = _opener(config, shared=worker)
        # attrs leaves the text of each method it made there, a megabyte for debuggers.
        linecache.clearcache()
        run(config, opener, shared=worker, ready=ready)
    finally:
        lines.flush()


def _collect_less() -> Callable[[], None]:
    """Collect garbage more rarely until the function that is returned is called.

    What a server is made of stays, so looking through it over and over is a tenth of
    the start; from then on it is not looked through any more.
    """
    before = gc.get_threshold()
    gc.set_threshold(10_000, 100, 100)

    def as_usual() -> None:
        gc.freeze()
        gc.set_threshold(*before)

    return as_usual


def _supervise(
    file: str, config: Config, overrides: dict[str, str], workers: int
) -> int:
    from .server.listen import free_address
    from .server.workers import supervise

    addresses = {
        "web.http": config.web.http,
        "web.https": config.web.https,
        "telemetry.http": config.telemetry.http,
    }
    # Workers share a port, and would share it with a stranger too: look before.
    taken = {key: free_address(text, key) for key, text in addresses.items() if text}
    options = {
        "--web-http-addr": taken.get("web.http", ""),
        "--web-https-addr": taken.get("web.https", ""),
        "--telemetry-addr": taken.get("telemetry.http", ""),
        "--grpc-addr": overrides["grpc.addr"],
    }
    given = [f"{name}={value}" for name, value in options.items() if value]
    return supervise(["serve", *given, "--", file], workers)


def _opener(config: Config, *, shared: bool) -> Callable[[], Awaitable[Server]]:
    from .errors import ConfigError
    from .plugins import find
    from .server.app import open_server

    async def open_for_sharing() -> Server:
        server = await open_server(config, find())
        if shared and not server.parts.storage.shared:
            await server.close()
            raise ConfigError(
                f'storage.type: "{config.storage.type}" lives in one process; '
                "serve it without --workers, or use a database server."
            )
        return server

    return open_for_sharing


def _fail(error: DexcoreError, code: int) -> NoReturn:
    click.echo(f"dexcore: {error}", err=True)
    sys.exit(code)
