"""The outgoing HTTP client: how connectors talk to upstream identity providers.

It trusts the system's certificates and those of the file, gives up after a while, reads
no more than it was told to, keeps no cookies and follows no redirect unless asked.
Whatever goes wrong is an ``UpstreamError`` that names the method, the host and the
path, never the query, a header or a body: secrets travel in those.

::

    client = HttpClient(TLS(root_cas=config.root_cas))
    answer = await client.get(url, headers={"Authorization": f"Bearer {token}"})
    user = answer.check().object()
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import os
import socket
import ssl
import urllib.request

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import yarl

from .errors import ConfigError, UpstreamError, UpstreamUnavailable

__all__ = ["TLS", "Answer", "HttpClient"]

#: How long one call may take (seconds): the firewall around connectors waits 15.
TIMEOUT = 10.0

#: How many bytes of an answer are read: JWKS and metadata have some tens of thousands.
LIMIT = 1 << 20

_AT_ONCE = 100  # connections; who comes later waits, at most until its timeout
_REDIRECTS = (301, 302, 303, 307, 308)
_NOT_NOW = 429


@attrs.frozen
class TLS:
    """Whom we trust, and who we are.

    ``root_cas`` are trusted beside the system's: each is a file's path, the text of a
    PEM file, or that text in base64.  ``client_cert`` and ``client_key`` are paths.
    """

    root_cas: Sequence[str] = ()
    insecure_skip_verify: bool = False
    client_cert: str = ""
    client_key: str = attrs.field(default="", repr=False)

    def context(self) -> ssl.SSLContext:
        """Return a context without the system's certificates.

        Those take long to load, so the client does it beside the event loop.  Raises
        ``ConfigError`` if a file cannot be read or is not PEM.
        """
        # Not ``create_default_context``: it refuses, from Python 3.13 on, certificates
        # of private authorities that everybody else accepts (RFC 5280's small print).
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for number, entry in enumerate(self.root_cas):
            if entry:
                _trust(context, entry, number)
        if self.client_cert:
            try:
                context.load_cert_chain(self.client_cert, self.client_key or None)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"the client certificate {self.client_cert!r} cannot be used: "
                    f"{error}"
                ) from error
        if self.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@attrs.frozen
class Answer:
    """What the upstream answered.  ``call`` says to what, safe to show in a log."""

    call: str
    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    def check(self) -> Answer:
        """Return this answer if its status is 2xx.

        Raises ``UpstreamUnavailable`` for 5xx and 429, else ``UpstreamError``.
        """
        if 200 <= self.status < 300:
            return self
        kind = UpstreamError
        if self.status >= 500 or self.status == _NOT_NOW:
            kind = UpstreamUnavailable
        raise kind(f"{self.call} answered {self.status}.")

    def text(self) -> str:
        """Return the body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the document; raise ``UpstreamError`` if it is not JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError as error:
            kind = self.headers.get("Content-Type", "no content type")
            raise UpstreamError(
                f"{self.call} answered {kind} that is not JSON: {error}."
            ) from error

    def object(self) -> dict[str, Any]:
        """Return the JSON object; raise ``UpstreamError`` if it is something else."""
        document = self.json()
        if not isinstance(document, dict):
            raise UpstreamError(f"{self.call} answered JSON that is not an object.")
        return document


class HttpClient:
    """Calls upstream.  To be made within a running event loop, and closed.

    *timeout* is for one call, in seconds, its redirects included; *limit* for one
    answer, in bytes.  With *public_only* no address of a private network is connected
    to, whatever a name resolves to; a proxy of the environment decides for itself.
    Raises ``ConfigError`` if *tls* cannot be used.
    """

    def __init__(
        self,
        tls: TLS | None = None,
        *,
        timeout: float = TIMEOUT,
        limit: int = LIMIT,
        public_only: bool = False,
    ) -> None:
        self.timeout = timeout
        self.limit = limit
        self.public_only = public_only
        self._tls = tls or TLS()
        self._context = self._tls.context()
        self._trusting = asyncio.Lock()
        self._trusts_system = self._tls.insecure_skip_verify
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        redirects: int = 0,
    ) -> Answer:
        """Return the answer to a GET, after at most so many *redirects*.

        Another origin does not get the ``Authorization`` header, and https is never
        left for http.  Without *redirects* a 3xx is an answer like any other.
        """
        return await self._guarded("GET", _url(url, params), headers, None, redirects)

    async def post(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a POST of *form* or *json*; it is not redirected."""
        sent: dict[str, str] = {}
        body: aiohttp.FormData | bytes
        if json is not None:
            sent["Content-Type"] = "application/json"
            body = orjson.dumps(json)
        else:
            body = aiohttp.FormData(dict(form or {}))
        headers = {**sent, **(headers or {})}
        return await self._guarded("POST", _url(url, None), headers, body, 0)

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _guarded(
        self,
        method: str,
        url: yarl.URL,
        headers: Mapping[str, str] | None,
        body: aiohttp.FormData | bytes | None,
        redirects: int,
    ) -> Answer:
        """Return the answer; turn whatever goes wrong into an ``UpstreamError``."""
        call = _named(method, url)
        try:
            async with asyncio.timeout(self.timeout):
                return await self._follow(method, url, headers, body, redirects)
        except TimeoutError as error:
            raise UpstreamUnavailable(
                f"{call} did not answer within {self.timeout:g} seconds."
            ) from error
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as error:
            raise UpstreamError(f"{call}: {_reason(error)}") from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise UpstreamUnavailable(f"{call}: {_reason(error)}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise UpstreamError(f"{call}: {_reason(error)}") from error
        except OSError as error:
            raise UpstreamUnavailable(f"{call}: {_reason(error)}") from error

    async def _follow(
        self,
        method: str,
        url: yarl.URL,
        headers: Mapping[str, str] | None,
        body: aiohttp.FormData | bytes | None,
        redirects: int,
    ) -> Answer:
        sent = {name.title(): value for name, value in (headers or {}).items()}
        for _ in range(redirects):
            answer = await self._send(method, url, sent, body)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            target = url.join(yarl.URL(answer.headers["Location"]))
            if target.scheme != "https" and url.scheme == "https":
                raise UpstreamError(f"{answer.call} redirects to http.")
            if target.origin() != url.origin():
                sent.pop("Authorization", None)
            url = target
        answer = await self._send(method, url, sent, body)
        if redirects and answer.status in _REDIRECTS:
            raise UpstreamError(f"{answer.call}: more than {redirects} redirects.")
        return answer

    async def _send(
        self,
        method: str,
        url: yarl.URL,
        headers: Mapping[str, str],
        body: aiohttp.FormData | bytes | None,
    ) -> Answer:
        if url.scheme == "https":
            await self._trust_system()
        call = _named(method, url)
        proxy = _proxy(url)
        async with self._opened(checked=self.public_only and proxy is None).request(
            method,
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            proxy=proxy,
        ) as response:
            read = bytearray()
            async for chunk in response.content.iter_any():
                read += chunk
                if len(read) > self.limit:
                    raise UpstreamError(
                        f"{call} answered more than {self.limit} bytes."
                    )
            return Answer(call, response.status, response.headers, bytes(read))

    def _opened(self, *, checked: bool) -> aiohttp.ClientSession:
        if checked not in self._sessions:
            self._sessions[checked] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._context,
                    limit=_AT_ONCE,
                    socket_factory=_public_socket if checked else None,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "dexcore", "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None),  # ours is around it all
                trust_env=False,  # it would send what ~/.netrc says, too
            )
        return self._sessions[checked]

    async def _trust_system(self) -> None:
        async with self._trusting:
            if not self._trusts_system:
                await asyncio.to_thread(self._context.load_default_certs)
                self._trusts_system = True


# — certificates -----------------------------------------------------------------------


def _trust(context: ssl.SSLContext, entry: str, number: int) -> None:
    pem = _pem(entry)
    try:
        if pem is None:
            raise ValueError("it is none of these")
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"root certificate {number} must be a file, PEM text, or PEM text in "
            f"base64: {error}"
        ) from error


def _pem(entry: str) -> str | None:
    """Return the PEM text that *entry* is or names: a file's path is tried first."""
    try:
        return Path(entry).read_text("ascii")
    except (OSError, ValueError):
        pass
    try:
        text = base64.b64decode(entry, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = entry
    return text if "-----BEGIN CERTIFICATE-----" in text else None


# — addresses --------------------------------------------------------------------------


def _url(url: str, params: Mapping[str, str] | None) -> yarl.URL:
    try:
        parsed = yarl.URL(url)
        absolute = parsed.scheme in ("http", "https") and parsed.host
    except ValueError:
        absolute = None
    if not absolute:
        raise UpstreamError(f"{url.partition('?')[0]!r} is no http or https address.")
    return parsed.update_query(params) if params else parsed


def _named(method: str, url: yarl.URL) -> str:
    shown = url.with_user(None).with_query(None).with_fragment(None)
    return f"{method} {shown}"


def _reason(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or getattr(
        error, "certificate_error", None
    )
    text = str(inner or error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def _proxy(url: yarl.URL) -> str | None:
    """Return the proxy the environment names for *url*, as Go's programs do."""
    found = urllib.request.getproxies_environment().get(url.scheme)
    host = url.host or ""
    if not found or _is_local(host):
        return None
    if urllib.request.proxy_bypass(f"{host}:{url.port}"):
        return None
    # A program that serves CGI could be told a proxy by whoever sends a header.
    if url.scheme == "http" and "REQUEST_METHOD" in os.environ:
        return None
    return found if "://" in found else f"http://{found}"


def _public_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for one address, looked at after the name was resolved."""
    family, kind, protocol, _, address = info
    ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if not ip.is_global or ip.is_multicast:
        raise OSError(f"{ip} is not a public address")
    return socket.socket(family, kind, protocol)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
