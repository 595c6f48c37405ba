"""``python examples/serve.py``: a provider and an app that logs in through it.

Both run until Ctrl-C; when one of them ends, so does the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from asyncio.subprocess import Process
from pathlib import Path

import aiohttp
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent

#: Seconds each may take to answer at first, and to end at last.
PATIENCE = 30


def main() -> int:
    """Read the command line and run both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "config", nargs="?", type=Path, default=HERE / "config-dev.yaml"
    )
    parser.add_argument("--app", default="http://127.0.0.1:5555", metavar="URL")
    chosen = parser.parse_args()
    config = chosen.config.resolve()
    file = yaml.safe_load(config.read_text("utf-8"))
    database = file["storage"].get("config", {}).get("file")
    if database:
        ROOT.joinpath(database).parent.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_serve(config, file["issuer"], chosen.app))


async def _serve(config: Path, issuer: str, app: str) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    started = [
        await _start("-m", "dexcore", "serve", str(config)),
        await _start(
            *(str(HERE / "example_app"), "--issuer", issuer, "--listen", app),
            *("--redirect-uri", f"{app}/callback"),
        ),
    ]
    endings = [asyncio.create_task(process.wait()) for process in started]
    stopped = asyncio.create_task(stop.wait())
    told = asyncio.create_task(_tell(issuer, app))
    try:
        await asyncio.wait([*endings, stopped], return_when=asyncio.FIRST_COMPLETED)
        return 0 if stop.is_set() else 1
    finally:
        told.cancel()
        stopped.cancel()
        await asyncio.gather(*map(_end, started))
        await asyncio.gather(*endings)


async def _start(*arguments: str) -> Process:
    # A session of its own: Ctrl-C reaches us alone, and we end both in good order.
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()


async def _tell(issuer: str, app: str) -> None:
    """Say where to go, once there is something to see."""
    async with aiohttp.ClientSession() as http:
        for url in (f"{issuer}/.well-known/openid-configuration", app):
            try:
                async with asyncio.timeout(PATIENCE):
                    await _answers(http, url)
            except TimeoutError:
                print(f"\n  {url} does not answer.\n", file=sys.stderr, flush=True)
                return
    print(
        f"\n  The example app   {app}\n"
        f"  The provider      {issuer}\n\n"
        "  Ctrl-C stops both.\n",
        flush=True,
    )


async def _answers(http: aiohttp.ClientSession, url: str) -> None:
    while True:
        try:
            async with http.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
