"""The TLS settings of a connector, as a context of our own."""

from __future__ import annotations

import logging
import ssl
import threading

from pathlib import Path

from dexcore.errors import DexcoreError

from .config import Config
from .wire import Security


class Securities:
    """How the next connection is encrypted: files that have changed are read again."""

    def __init__(self, config: Config, log: logging.Logger) -> None:
        """Read the files.

        Raises ``DexcoreError`` with the key and the file that cannot be used.
        """
        self._config = config
        self._log = log
        self._lock = threading.Lock()
        self._files = _files_of(config)
        self._seen = _states(self._files)
        self._security = _security_of(config)

    def current(self) -> Security:
        """Return how to encrypt now.

        As long as new files cannot be used, the ones before count: whoever renews
        certificates writes one file after the other.
        """
        with self._lock:
            seen = _states(self._files)
            if seen != self._seen:
                # Looked at before it is read: what changes meanwhile is read again.
                self._seen = seen
                self._read_again()
            return self._security

    def _read_again(self) -> None:
        try:
            self._security = _security_of(self._config)
        except DexcoreError as error:
            self._log.error(
                "certificates have changed, and the old ones stay: %s", error
            )
        else:
            self._log.info("certificates have changed: new connections use them")


def _files_of(config: Config) -> tuple[str, ...]:
    if not config.encrypted:
        return ()
    root_ca = "" if config.root_ca_data else config.root_ca
    named = (root_ca, config.client_cert, config.client_key)
    return tuple(name for name in named if name)


def _states(files: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(_state, files))


def _state(file: str) -> tuple[int, ...]:
    try:
        found = Path(file).stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _security_of(config: Config) -> Security:
    if not config.encrypted:
        return Security()
    # Names and IP addresses in certificates are checked, TLS is 1.2 at least, and the
    # system's authorities count only if none are given.
    context = ssl.create_default_context(cadata=_authorities(config))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_cert:
        try:
            # With a passphrase it would ask the terminal for one.
            context.load_cert_chain(config.client_cert, config.client_key, lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise DexcoreError(
                f"clientCert {config.client_cert!r} and clientKey"
                f" {config.client_key!r} cannot be used: {_why(error)}"
            ) from None
    return Security(context, config.start_tls)


def _authorities(config: Config) -> str | None:
    if config.root_ca_data:
        return _checked("rootCAData", config.root_ca_pem)
    if not config.root_ca:
        return None
    try:
        text = Path(config.root_ca).read_text("ascii", "ignore")
    except OSError as error:
        raise DexcoreError(
            f"rootCA {config.root_ca!r} cannot be read: {_why(error)}"
        ) from None
    return _checked(f"rootCA {config.root_ca!r}", text)


def _checked(what: str, pem: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise DexcoreError(f"{what} holds no certificate in PEM format") from None
    return pem


def _why(error: OSError) -> str:
    return error.strerror or str(error)
