"""``python -m bench``: measure a provider, or several beside each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs
import click

from . import process, report, scenarios
from .calibrate import Machine, machine
from .measure import CONNECTIONS, Result, interleaved
from .operations import chosen
from .provider import Account, Provider
from .servers import CONFIG, DEXCORE, Started, cores, started
from .wire import BenchError


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(_until_told_to_stop(work))
    except BenchError as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.Abort from None


async def _until_told_to_stop(work: Coroutine[Any, Any, None]) -> None:
    # A server that was started for the run must not outlive it.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await work


@click.group(help="A load harness for OpenID Connect providers on loopback.")
def main() -> None:
    """Dispatch to the commands."""


def _measuring(command: Callable[..., None]) -> Callable[..., None]:
    defaults = Account()
    options = [
        click.option("--rounds", default=5, show_default=True),
        click.option(
            "--scale", default=1.0, help="Times the usual operations a round."
        ),
        click.option("--connections", default=CONNECTIONS, show_default=True),
        click.option("--only", multiple=True, help="Only this operation."),
        click.option("--algorithm", default="RS256", show_default=True),
        click.option("--pin/--no-pin", help="Server on one core, load on the others."),
        click.option("--calibrate/--no-calibrate", default=True),
        click.option("--json", "json_file", type=click.Path(path_type=Path)),
        click.option("--markdown", "markdown_file", type=click.Path(path_type=Path)),
        click.option("--client-id", default=defaults.client_id),
        click.option("--client-secret", default=defaults.client_secret),
        click.option("--redirect-uri", default=defaults.redirect_uri),
        click.option("--connector", "connectors", multiple=True),
        click.option("--refresh-connector", "refresh_connectors", multiple=True),
        click.option("--refresh-client", "refresh_clients", multiple=True),
        click.option("--username", default=defaults.username),
        click.option("--password", default=defaults.password),
        click.option("--scope", default=defaults.scope),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@attrs.frozen
class Settings:
    """What the options of a measurement say."""

    rounds: int
    scale: float
    connections: int
    only: tuple[str, ...]
    algorithm: str
    pin: bool
    calibrate: bool
    json_file: Path | None
    markdown_file: Path | None
    account: Account

    @classmethod
    def of(cls, options: dict[str, Any]) -> Settings:
        """Return the settings, and the account among *options*."""
        named = {field.name for field in attrs.fields(Account)}
        account = {key: options.pop(key) for key in list(options) if key in named}
        if account["connectors"]:  # not the ones of bench/config.yaml
            account["refresh_connectors"] = (
                account["refresh_connectors"] or account["connectors"]
            )
            account["refresh_clients"] = account["refresh_clients"] or (
                account["client_id"],
            )
        account = {name: value for name, value in account.items() if value != ()}
        return cls(account=Account(**account), **options)


@main.command()
@click.option("--issuer", required=True)
@click.option("--pid", type=int, required=True, help="The server's process.")
@click.option("--name", default="provider")
@_measuring
def run(issuer: str, pid: int, name: str, **options: Any) -> None:
    """Measure the provider at ISSUER."""
    _run(_measure([(name, issuer, pid)], [], Settings.of(options)))


@main.command()
@click.option(
    "--op", "running", type=(str, str, int), multiple=True, help="NAME ISSUER PID"
)
@click.option(
    "--start", "commands", type=(str, str), multiple=True, help="NAME COMMAND"
)
@click.option("--storage", default="sqlite3", show_default=True)
@click.option("--config", type=click.Path(exists=True, path_type=Path), default=CONFIG)
@_measuring
def compare(
    running: tuple[tuple[str, str, int], ...],
    commands: tuple[tuple[str, str], ...],
    storage: str,
    config: Path,
    **options: Any,
) -> None:
    """Measure several providers in one run, taking turns.

    Some may be running already (--op), others be started for the run (--start), with
    --config and --storage; without any of them dexcore alone is started.
    """
    begin = list(commands) or ([] if running else [("dexcore", DEXCORE)])
    settings = Settings.of(options)
    _run(_measure(list(running), [(*one, storage, config) for one in begin], settings))


async def _measure(
    running: list[tuple[str, str, int]],
    commands: list[tuple[str, str, str, Path]],
    settings: Settings,
) -> None:
    reference = await machine() if settings.calibrate else None
    if reference:
        click.echo(reference.line())
    async with contextlib.AsyncExitStack() as stack:
        starts: dict[str, Started] = {}
        for name, command, storage, config in commands:
            up = await stack.enter_async_context(
                started(
                    command,
                    config=config,
                    storage=storage,
                    algorithm=settings.algorithm,
                )
            )
            starts[name] = up
            running.append((name, up.issuer, up.pid))
        if settings.pin:
            _pin([pid for _, _, pid in running])
        providers = [
            await Provider.find(name, issuer, pid, settings.account)
            for name, issuer, pid in running
        ]
        results = await interleaved(
            chosen(settings.only),
            providers,
            rounds=settings.rounds,
            scale=settings.scale,
            connections=settings.connections,
            say=click.echo,
        )
    _tell(results, reference, settings, starts)


def _pin(pids: list[int]) -> None:
    mine = cores()
    if len(mine) < 2:
        raise BenchError("Pinning needs two cores.")
    for pid in pids:
        process.pin(pid, mine[:1])
    os.sched_setaffinity(0, mine[1:])


def _tell(
    results: list[Result],
    reference: Machine | None,
    settings: Settings,
    starts: dict[str, Started],
) -> None:
    extra = {
        f"{name}, first answer and RSS then": (
            f"{up.first_answer:.0f} ms, {up.rss:.0f} MB"
        )
        for name, up in starts.items()
    }
    table = report.markdown(results, reference, settings.algorithm, extra)
    click.echo("\n" + table)
    if settings.markdown_file:
        settings.markdown_file.write_text(table)
    if settings.json_file:
        report.save(settings.json_file, results, reference, extra)


@main.command()
@click.option("--config", type=click.Path(exists=True, path_type=Path), default=CONFIG)
@click.option("--command", default=DEXCORE, help="What serves; the file is appended.")
@click.option("--storage", default="sqlite3", show_default=True)
@click.option("--times", default=5, show_default=True)
def start(config: Path, command: str, storage: str, times: int) -> None:
    """Measure the time from start to the first answer, on a new and a used database."""
    _run(_starts(config, command, storage, times))


async def _starts(config: Path, command: str, storage: str, times: int) -> None:
    for line in await scenarios.starts(config, command, storage, times):
        click.echo(line)


@main.command()
@click.argument("name", type=click.Choice(sorted(scenarios.SCENARIOS)))
@click.option("--command", default=DEXCORE, help="What serves; the file is appended.")
@click.option("--storage", default="sqlite3", show_default=True)
@click.option("--config", type=click.Path(exists=True, path_type=Path), default=CONFIG)
@click.option("--count", type=int, help="Hits, rows, seconds or rounds.")
def scenario(
    name: str, command: str, storage: str, config: Path, count: int | None
) -> None:
    """Put a server into a hard situation and see.

    storm: /keys under 16 parallel password logins. anonymous: strangers at
    /auth/{connector}. sweep: expired rows against /keys. volume: cost with a full
    database and an empty one. storages: what writes, on every storage, or on one.
    replicas: logins at one replica and at two, each with a quarter of a core.
    sessions: logins with sessions off and on, and silent ones.
    """

    async def work() -> None:
        for line in await scenarios.SCENARIOS[name](command, storage, config, count):
            click.echo(line)

    _run(work())


@main.command()
def calibrate() -> None:
    """Say how fast this machine is."""

    async def work() -> None:
        click.echo((await machine()).line())

    _run(work())


if __name__ == "__main__":
    sys.exit(main())
