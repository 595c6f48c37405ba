"""What is measured: each operation with what must be ready before the clock starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import orjson

from .provider import LoginForm, User
from .wire import Answer, BenchError

Prepare = Callable[[User, int], Awaitable[list[Any]]]
Act = Callable[[User, Any], Awaitable[None]]


@attrs.frozen
class Operation:
    """One row of the table.

    ``count`` is how many make a round, ``prepare`` makes that many items for one user
    beforehand, ``act`` is what is measured.  ``signatures`` is how many RSA signatures
    it takes, ``limits`` the processor time it may take (µs, RS256 and ES256);
    ``refreshing`` users come through connectors that remember something.
    """

    name: str
    count: int
    prepare: Prepare
    act: Act
    signatures: int = 0
    limits: tuple[int, int] | None = None
    refreshing: bool = False


def _expect(answer: Answer, *statuses: int) -> None:
    if answer.status not in statuses:
        raise BenchError(f"{answer.status} {answer.body[:200]!r}")


def _repeat(request: Callable[[User], bytes]) -> Prepare:
    async def prepare(user: User, count: int) -> list[bytes]:
        return [request(user)] * count

    return prepare


async def _answered(user: User, request: bytes) -> None:
    _expect(await user.connection.send(request), 200)


async def _redirected(user: User, request: bytes) -> None:
    _expect(await user.connection.send(request), 302, 303)


def _discovery(user: User) -> bytes:
    return user.provider.address.get(user.provider.path("discovery"))


def _keys(user: User) -> bytes:
    return user.provider.address.get(user.provider.path("jwks_uri"))


async def _authorization_requests(user: User, count: int) -> list[bytes]:
    user.cookies = {}
    return [user.authorization_request() for _ in range(count)]


async def _one_login_page(user: User, count: int) -> list[bytes]:
    form = await user.open_login()
    cookies = "; ".join(f"{name}={value}" for name, value in user.cookies.items())
    headers = {"Cookie": cookies} if cookies else {}
    return [user.provider.address.get(form.page, headers)] * count


async def _login_forms(
    user: User, count: int
) -> list[tuple[LoginForm, dict[str, str]]]:
    opened = []
    for _ in range(count):
        form = await user.open_login()
        opened.append((form, user.cookies))
    return opened


async def _enter(user: User, item: tuple[LoginForm, dict[str, str]]) -> None:
    form, user.cookies = item
    await user.enter(form)


async def _forms_before_consent(
    user: User, count: int
) -> list[tuple[LoginForm, dict[str, str]]]:
    opened = []
    for _ in range(count):
        form = await user.open_login(approval_prompt="force")
        opened.append((form, user.cookies))
    return opened


async def _enter_and_agree(user: User, item: tuple[LoginForm, dict[str, str]]) -> None:
    form, user.cookies = item
    await user.enter_and_agree(form)


async def _nothing(user: User, count: int) -> list[None]:
    return [None] * count


async def _whole_login(user: User, _: None) -> None:
    user.keep(await user.connection.send(user.exchange(await user.code())))


async def _codes(user: User, count: int) -> list[bytes]:
    return [user.exchange(await user.code()) for _ in range(count)]


async def _refresh_tokens(user: User, count: int) -> list[bytes]:
    """Get a refresh token for as many clients as there are refreshes to do."""
    clients = user.account.refresh_clients or (user.client_id,)
    if count > len(clients):
        raise BenchError(f"{count} refreshes each, but {len(clients)} clients.")
    requests = []
    for client in clients[:count]:
        user.client_id, user.tokens = client, {}
        await user.get_tokens()
        requests.append(user.refresh())
    return requests


async def _userinfo(user: User, count: int) -> list[bytes]:
    await user.get_tokens()
    path = user.provider.path("userinfo_endpoint")
    return [user.provider.address.get(path, user.bearer())] * count


async def _introspection(user: User, count: int) -> list[bytes]:
    await user.get_tokens()
    path = user.provider.path("introspection_endpoint")
    form = {"token": str(user.tokens["access_token"])}
    return [user.provider.address.post(path, form, user.account.basic())] * count


async def _active(user: User, request: bytes) -> None:
    answer = await user.connection.send(request)
    _expect(answer, 200)
    if b'"active":true' not in answer.body.replace(b" ", b""):
        raise BenchError(f"The token is not active: {answer.body[:200]!r}")


async def _silent_logins(user: User, count: int) -> list[bytes]:
    """Log in once; what follows asks with ``prompt=none`` in the same browser."""
    await user.code()
    return [user.authorization_request(prompt="none") for _ in range(count)]


async def _let_in(user: User, request: bytes) -> None:
    await user.arrive(request)


_URN = "urn:ietf:params:oauth:"


def _device_code(user: User) -> bytes:
    path = user.provider.path("device_authorization_endpoint")
    # dex looks for the client in the form only.
    form = {"scope": "openid", **user.account.posted()}
    return user.provider.address.post(path, form)


async def _polls(user: User, count: int) -> list[bytes]:
    answer = await user.connection.send(_device_code(user))
    _expect(answer, 200)
    codes = orjson.loads(answer.body)
    poll = user.token_request(
        grant_type=f"{_URN}grant-type:device_code", device_code=codes["device_code"]
    )
    return [poll] * count


async def _told_to_wait(user: User, request: bytes) -> None:
    _expect(await user.connection.send(request), 400)


def _client_credentials(user: User) -> bytes:
    return user.token_request(
        grant_type="client_credentials", scope="openid email profile"
    )


def _token_exchange(user: User) -> bytes:
    return user.token_request(
        grant_type=f"{_URN}grant-type:token-exchange",
        connector_id=user.connector,
        subject_token="of upstream",
        subject_token_type=f"{_URN}token-type:access_token",
        scope="openid email profile groups",
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation("discovery", 12_000, _repeat(_discovery), _answered, 0, (45, 45)),
    Operation("keys", 12_000, _repeat(_keys), _answered, 0, (45, 45)),
    Operation("authorize", 4_800, _authorization_requests, _redirected, 0, (100, 100)),
    Operation("login page", 4_800, _one_login_page, _answered, 0, (90, 90)),
    Operation("login POST", 960, _login_forms, _enter, 0, (250, 250)),
    # The password, the page that asks, and the answer to it.
    Operation("login with consent", 480, _forms_before_consent, _enter_and_agree),
    Operation("whole login", 480, _nothing, _whole_login, 2),
    Operation("exchange", 640, _codes, _answered, 2, (950, 360)),
    Operation("refresh", 640, _refresh_tokens, _answered, 2, (900, 330), True),
    Operation("userinfo", 4_800, _userinfo, _answered, 0, (110, 160)),
    Operation("introspection", 4_800, _introspection, _active, 0, (140, 190)),
    Operation("device code", 3_200, _repeat(_device_code), _answered, 0, (150, 150)),
    Operation("device poll", 3_200, _polls, _told_to_wait, 0, (120, 120)),
    Operation(
        "client credentials",
        960,
        _repeat(_client_credentials),
        _answered,
        2,
        (800, 280),
    ),
    Operation(
        "token exchange", 960, _repeat(_token_exchange), _answered, 1, (500, 220), True
    ),
)

#: What only a provider with sessions does; measured when asked for by name.
WITH_SESSIONS: tuple[Operation, ...] = (
    Operation("silent login", 960, _silent_logins, _let_in, 0, (550, 550)),
)


def chosen(names: tuple[str, ...]) -> tuple[Operation, ...]:
    """Return the operations called *names*; without any, those of every provider."""
    if not names:
        return OPERATIONS
    known = (*OPERATIONS, *WITH_SESSIONS)
    unknown = set(names) - {operation.name for operation in known}
    if unknown:
        raise BenchError(f"No operation is called {', '.join(sorted(unknown))}.")
    return tuple(each for each in known if each.name in names)
