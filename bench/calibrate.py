"""How fast this machine is: what the limits are scaled by."""

from __future__ import annotations

import asyncio
import sys
import time

from collections.abc import Callable

import attrs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from . import process
from .measure import percentile
from .wire import Address, Connection

#: The machine the limits were written for, in µs.
RSA_THERE = 250.0
CONSTANT_THERE = 36.0

_SERVER = """
import sys
from aiohttp import web
body = b"x" * 1265
async def answer(request):
    return web.Response(body=body, content_type="application/json")
app = web.Application()
app.router.add_get("/", answer)
def up(text):
    pass
async def main():
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
import asyncio
try:
    import uvloop
    run = uvloop.run
except ImportError:
    run = asyncio.run
run(main())
"""


@attrs.frozen
class Machine:
    """Processor time of well-known work, in µs: the least of several tries."""

    rsa_sign: float
    ec_sign: float
    loop: float
    constant_answer: float

    def limit(self, limit: float, signatures: int) -> float:
        """Return what *limit* (µs) is on this machine."""
        signing = signatures * RSA_THERE
        rest = (limit - signing) * self.constant_answer / CONSTANT_THERE
        return rest + signatures * self.rsa_sign

    def line(self) -> str:
        """Return one line that says it all."""
        return (
            f"This machine: RSA-2048 signature {self.rsa_sign:.0f} µs, P-256 "
            f"{self.ec_sign:.0f} µs, 2,000 additions {self.loop:.0f} µs, constant "
            f"aiohttp answer {self.constant_answer:.0f} µs."
        )


async def machine() -> Machine:
    """Measure this machine."""
    key = rsa.generate_private_key(65537, 2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    message = b"m" * 600
    return Machine(
        rsa_sign=_least(
            lambda: key.sign(message, padding.PKCS1v15(), hashes.SHA256()), 200
        ),
        ec_sign=_least(lambda: curve.sign(message, ec.ECDSA(hashes.SHA256())), 1000),
        loop=_least(_additions, 500),
        constant_answer=await _constant_answer(),
    )


def _least(work: Callable[[], object], count: int) -> float:
    tries = []
    for _ in range(7):
        begun = time.process_time()
        for _ in range(count):
            work()
        tries.append((time.process_time() - begun) / count * 1e6)
    return min(tries)


def _additions() -> int:
    total = 0
    for each in range(2000):
        total += each
    return total


async def _constant_answer(rounds: int = 5, count: int = 8000) -> float:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVER, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        address = Address("127.0.0.1", int(await server.stdout.readline()))
        request = address.get("/")
        tries = []
        for _ in range(rounds):
            before = process.cpu_seconds(server.pid)
            await asyncio.gather(*(_hit(address, request, count) for _ in range(16)))
            used = process.cpu_seconds(server.pid) - before
            tries.append(used / (count // 16 * 16) * 1e6)
        return percentile(tries, 0)
    finally:
        server.terminate()
        await server.wait()


async def _hit(address: Address, request: bytes, count: int) -> None:
    connection = Connection(address)
    for _ in range(count // 16):
        await connection.send(request)
    connection.close()
