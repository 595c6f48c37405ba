"""``storage.config`` of databases across a network: what dex's two have in common."""

from __future__ import annotations

import ssl

from pathlib import Path

import attrs

from dexcore.options import InvalidOption, option
from dexcore.storage import StorageError

CONNECT_SECONDS = 5.0  # to get a connection, unless the file says otherwise
MIGRATION_SECONDS = 600.0  # for one statement that changes the schema


@attrs.frozen
class SSL:
    """``storage.config.ssl``."""

    mode: str = option("", help="How much is asked of the server's certificate.")
    ca_file: str = option("", help="Authorities to trust instead of the system's.")
    key_file: str = option("", help="The private key of the client's certificate.")
    cert_file: str = option("", help="The client's certificate.")


@attrs.frozen
class Network:
    """A database somewhere else; the keys are dex's."""

    database: str = option("", help="The name of the database.")
    user: str = option("", help="Who dexcore is there.")
    password: str = option("", help="The user's password.", secret=True)
    host: str = option("", help="A host, `host:port`, or where the Unix socket is.")
    port: int = option(0, help="The port, unless `host` names it.")
    connection_timeout: int = option(
        0, help="Seconds to wait for a connection; `0` is 5 seconds."
    )
    max_open_conns: int = option(0, help="Connections at the same time; `0` is 5.")
    max_idle_conns: int = option(0, help="Connections kept for later; `0` is 5.")
    conn_max_lifetime: int = option(
        0, help="Seconds until a connection is replaced; `0` is never."
    )
    statement_timeout: int = option(
        10, help="Seconds one statement may take; a database that takes longer is ill."
    )
    ssl: SSL = option(factory=SSL, help="How the connection is protected.")

    def __attrs_post_init__(self) -> None:
        for key, value in (
            ("port", self.port),
            ("connectionTimeout", self.connection_timeout),
            ("maxOpenConns", self.max_open_conns),
            ("maxIdleConns", self.max_idle_conns),
            ("connMaxLifetime", self.conn_max_lifetime),
        ):
            if value < 0:
                raise InvalidOption(f"{value} is less than nothing", key=key)
        if self.statement_timeout < 1:
            raise InvalidOption("there must be some time", key="statementTimeout")
        if self.port > 65535:
            raise InvalidOption(f"{self.port} is not a port", key="port")

    @property
    def connect_seconds(self) -> float:
        """How long to wait for a connection."""
        return float(self.connection_timeout or CONNECT_SECONDS)

    @property
    def address(self) -> tuple[str, int]:
        """The host, or the path of a socket, and the port: empty and 0 if not given."""
        if self.host.startswith("/"):
            return self.host, self.port
        host, colon, port = self.host.rpartition(":")
        if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
            return host.strip("[]"), int(port)
        return self.host.strip("[]"), self.port


def tls_context(
    ca_file: str, cert_file: str, key_file: str, *, verify: bool, names: bool
) -> ssl.SSLContext:
    """Return how to speak TLS: what to trust, who we are, what to check.

    Without *ca_file* the system's authorities are trusted.  Raises ``StorageError`` for
    files that cannot be read.
    """
    for file in filter(None, (ca_file, cert_file, key_file)):
        if not Path(file).is_file():
            raise StorageError(f"storage.config.ssl: there is no file {file}.")
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        if cert_file:
            context.load_cert_chain(cert_file, key_file or None)
    except (OSError, ValueError) as error:
        raise StorageError(f"storage.config.ssl cannot be used: {error}") from error
    # In this order: names are checked only of certificates that are.
    context.check_hostname = verify and names
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context
