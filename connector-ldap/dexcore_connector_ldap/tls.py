"""The TLS settings of a connector, as a context of our own."""

from __future__ import annotations

import ssl

from pathlib import Path

from dexcore.errors import DexcoreError

from .config import Config
from .wire import Security


def security_of(config: Config) -> Security:
    """Return how connections are encrypted.  Reads files.

    Raises ``DexcoreError`` with the key and the file that cannot be used.
    """
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
