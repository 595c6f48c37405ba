"""HTTPS: versions, ciphers, and certificates that change while we run.

A new certificate is first loaded into a context of its own.  Only when the pair loads
and fits does the next handshake get it; otherwise the old one stays, and the log says
why.  Contexts already in use are never touched.
"""

from __future__ import annotations

import logging
import os
import ssl

import attrs

from ..config.model import Web
from ..errors import ConfigError

#: How often the files are looked at (seconds).
INTERVAL = 5.0

_VERSIONS = {
    "": ssl.TLSVersion.TLSv1_2,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
#: dex's list for TLS 1.2; those of TLS 1.3 are not for choosing.
_CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
    )
)

_log = logging.getLogger("dexcore.server")
_Seen = tuple[tuple[int, int, int], ...]


@attrs.define(eq=False)
class Certificates:
    """The certificate chain and key in two PEM files, as they are now.

    ``context`` is for the listener, which keeps it for good.
    """

    cert: str
    key: str
    minimum: str = ""
    maximum: str = ""
    context: ssl.SSLContext = attrs.field(init=False)
    _current: ssl.SSLContext = attrs.field(init=False)
    _seen: _Seen = attrs.field(init=False)

    @classmethod
    def of(cls, web: Web) -> Certificates:
        """Load what ``web`` names; raise :class:`~dexcore.errors.ConfigError`."""
        return cls(web.tls_cert, web.tls_key, web.tls_min_version, web.tls_max_version)

    def __attrs_post_init__(self) -> None:
        self._seen = self._look()
        try:
            self.context = self._load()
        except OSError as error:
            raise ConfigError(f"The certificate of web.https {_why(error)}") from error
        self._current = self.context
        # Called in every handshake, before a certificate is chosen.  It swaps a whole
        # context, so that no handshake ever sees a chain and a key that do not fit.
        self.context.sni_callback = self._choose

    def reload(self) -> bool:
        """Use what the files hold now, and return whether that could be done."""
        self._seen = self._look()
        try:
            self._current = self._load()
        except OSError as error:
            _log.error(
                "the new certificate cannot be used, the old one stays",
                extra={"fields": {"cert": self.cert, "err": _why(error)}},
            )
            return False
        _log.info("certificate loaded", extra={"fields": {"cert": self.cert}})
        return True

    def reload_if_changed(self) -> None:
        """Reload if the files, or what their links lead to, have changed."""
        if self._look() != self._seen:
            self.reload()

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: object
    ) -> None:
        if self._current is not self.context:
            connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _VERSIONS[self.minimum]
        if self.maximum:
            context.maximum_version = _VERSIONS[self.maximum]
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        # A password would be asked for at the terminal, and the server would hang.
        context.load_cert_chain(self.cert, self.key, password=lambda: b"")
        return context

    def _look(self) -> _Seen:
        return tuple(_stamp(path) for path in (self.cert, self.key))


def _stamp(path: str) -> tuple[int, int, int]:
    # os.stat follows links: Kubernetes swaps a link to the folder, not the files.
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"and its key cannot be used: {error.reason or error}"
    return f"cannot be read: {error.filename or ''} {error.strerror}"
