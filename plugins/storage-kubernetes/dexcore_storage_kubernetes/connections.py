"""The connections to the API server, and others when nothing arrives on those."""

from __future__ import annotations

import asyncio

import aiohttp

#: Seconds until those of before are cut: whoever asks on one has given up by then.
_OVER = 20.0


class Connections:
    """A pool of connections; :meth:`renew` takes another.

    A firewall that has forgotten a connection says so to nobody, and what it did to
    one it did to all.
    """

    def __init__(self) -> None:
        self.current = _session()
        self._before: dict[aiohttp.ClientSession, asyncio.Task[None]] = {}

    def renew(self, silent: aiohttp.ClientSession) -> None:
        """Use other connections from now on, unless *silent* are not used any more."""
        if silent is not self.current or silent.closed:
            return
        self.current = _session()
        self._before[silent] = asyncio.create_task(self._retire(silent))

    async def close(self) -> None:
        """Cut all of them."""
        for task in self._before.values():
            task.cancel()
        for session in (*self._before, self.current):
            await session.close()

    async def _retire(self, session: aiohttp.ClientSession) -> None:
        await asyncio.sleep(_OVER)
        del self._before[session]
        await session.close()


def _session() -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        # Nothing but what the kubeconfig says, such as ~/.netrc, is sent along.
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "dexcore", "Accept": "application/json"},
    )
    # Else aiohttp repeats a PUT that may have been done when a connection breaks.
    session._retry_connection = False
    return session
