"""The connector: what the server calls."""

from __future__ import annotations

import asyncio
import functools
import logging

from collections.abc import Callable
from typing import TypeVar

import attrs

from dexcore.connector import (
    Callback,
    Challenge,
    ConnectorContext,
    Identity,
    NegotiateConnector,
    PasswordConnector,
    RefreshConnector,
    Scopes,
)
from dexcore.errors import AccessDenied
from dexcore.options import InvalidOption

from . import kerberos
from .codec import BadFilter, check_filter
from .config import Config
from .directory import Directory
from .entries import Entry, same_dn
from .filters import group_filter, unescape, user_filter
from .identity import check_open, identity_of, recall, remember
from .kerberos import Acceptor, NoKerberos, Principal, Rejected
from .servers import Account, Server, Servers
from .tls import Securities
from .workers import Workers

T = TypeVar("T")


class LdapConnector(PasswordConnector, RefreshConnector):
    """Finds people in the directory and lets it check their passwords."""

    def __init__(
        self,
        config: Config,
        directory: Directory,
        workers: Workers,
        log: logging.Logger,
    ) -> None:
        self._config = config
        self._directory = directory
        self._workers = workers
        self._log = log
        self._pruning: asyncio.TimerHandle | None = None

    @property
    def prompt(self) -> str:
        """The label of the name field."""
        return self._config.username_prompt or super().prompt

    async def login(
        self, scopes: Scopes, username: str, password: str
    ) -> Identity | None:
        """Return who this is, or ``None`` if the name or the password is wrong.

        Raises ``AccessDenied`` if the account is closed, ``UpstreamUnavailable`` if no
        server answers, ``UpstreamError`` for what an administrator has to mend.
        """
        if not _can_be_a_login(username, password):
            return None
        job = functools.partial(self._login, scopes, username, password)
        return await self._run(job)

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as the directory knows them now.

        Raises ``AccessDenied`` if they are gone, somebody else, or closed out.
        """
        return await self._run(functools.partial(self._refresh, scopes, identity))

    async def close(self) -> None:
        """Close all connections, also those of calls under way."""
        if self._pruning is not None:
            self._pruning.cancel()
        self._workers.close()
        self._directory.servers.close()

    # — in the threads -----------------------------------------------------------------

    def _login(
        self, scopes: Scopes, username: str, password: str, until: float
    ) -> Identity | None:
        directory = self._directory
        entry = directory.find(username, until)
        if entry is None:
            directory.try_nobody(until)
            return None
        if not directory.is_password(entry.dn, password.encode(), until):
            return None
        return self._known(scopes, username, entry, until)

    def _refresh(self, scopes: Scopes, identity: Identity, until: float) -> Identity:
        known = recall(identity.connector_data)
        entry = self._directory.find(known.username, until)
        if entry is None and (plain := unescape(known.username)):
            # dex stores the name of whoever came with a password escaped.
            entry = self._directory.find(plain, until)
        if entry is None:
            raise AccessDenied("The user no longer exists.")
        if not same_dn(entry.dn, known.dn):
            raise AccessDenied("The user has moved. Please log in again.")
        found = self._known(scopes, known.username, entry, until)
        if found.user_id != identity.user_id:
            raise AccessDenied("The name belongs to somebody else now.")
        return attrs.evolve(found, connector_data=identity.connector_data)

    def _known(
        self, scopes: Scopes, username: str, entry: Entry, until: float
    ) -> Identity:
        """Return the identity of somebody who has proved that they are *entry*."""
        check_open(entry)
        identity = identity_of(entry, self._config.user_search)
        if scopes.groups:
            groups = self._directory.groups(entry, until)
            identity = attrs.evolve(identity, groups=groups)
        if scopes.offline_access:
            data = remember(username, entry)
            identity = attrs.evolve(identity, connector_data=data)
        return identity

    # — and around them ----------------------------------------------------------------

    async def _run(self, job: Callable[[float], T]) -> T:
        try:
            return await self._workers.run(job)
        finally:
            self._prune_later()

    def _prune_later(self) -> None:
        if self._pruning is None:
            loop = asyncio.get_running_loop()
            idle = self._directory.servers.idle
            self._pruning = loop.call_later(idle, self._prune)

    def _prune(self) -> None:
        self._pruning = None
        # Closing does not wait for anybody: it may run here.
        if self._directory.servers.prune():
            self._prune_later()


class KerberosConnector(LdapConnector, NegotiateConnector):
    """Also lets in who has a ticket for this service."""

    def __init__(
        self,
        config: Config,
        directory: Directory,
        workers: Workers,
        log: logging.Logger,
        acceptor: Acceptor,
    ) -> None:
        super().__init__(config, directory, workers, log)
        self._acceptor = acceptor

    async def negotiate(
        self, scopes: Scopes, callback: Callback
    ) -> Identity | Challenge | None:
        """Return who the browser's ticket is about, or ask for a ticket.

        With ``fallbackToPassword`` whoever has none gets the form.  Raises
        ``AccessDenied`` if the directory does not know them.
        """
        fallback = self._config.kerberos.fallback_to_password
        try:
            token = kerberos.token_of(callback.headers)
            if token is None:
                return Challenge(kerberos.ASK, form=fallback)
            return await self._run(functools.partial(self._negotiate, scopes, token))
        except Rejected as error:
            self._log.info("a Kerberos ticket was rejected: %s", error)
            return None if fallback else Challenge(kerberos.REJECT, form=False)

    def _negotiate(self, scopes: Scopes, token: bytes, until: float) -> Identity:
        principal = self._acceptor.accept(token)
        if not kerberos.is_expected(principal, self._config.kerberos):
            raise Rejected(f"{principal} is of another realm")
        return self._person(scopes, principal, until)

    def _person(self, scopes: Scopes, principal: Principal, until: float) -> Identity:
        username = kerberos.username_of(principal, self._config.kerberos)
        entry = self._directory.find(username, until) if username else None
        if entry is None:
            raise AccessDenied(f"The directory does not know {principal}.")
        return self._known(scopes, username, entry, until)


async def open_connector(config: Config, context: ConnectorContext) -> LdapConnector:
    """Read certificates and keytab, check the filters; ask nobody yet."""
    return await asyncio.to_thread(_open, config, context)


def _open(config: Config, context: ConnectorContext) -> LdapConnector:
    _check_filters(config)
    securities = Securities(config, context.log)
    account = Account(config.bind_dn, config.bind_pw.encode())
    servers = Servers(
        Server(each, securities.current, account) for each in config.addresses
    )
    directory = Directory(config, servers)
    _warn(config, context.log)
    acceptor = _acceptor(config, context.log)
    workers = Workers(context.id, context.timeout)
    if acceptor is None:
        return LdapConnector(config, directory, workers, context.log)
    return KerberosConnector(config, directory, workers, context.log, acceptor)


def _check_filters(config: Config) -> None:
    users, groups = config.user_search, config.group_search
    try:
        check_filter(user_filter(users.filter, users.usernames, b"x"))
        for matcher in groups.matchers:
            for attribute in (matcher.group_attr, matcher.recursion_group_attr):
                if attribute:
                    check_filter(group_filter(groups.filter, attribute, b"x"))
    except BadFilter as error:
        raise InvalidOption(
            str(error), remedy="Write filters as RFC 4515 has them: (&(a=b)(c=d))."
        ) from None


def _warn(config: Config, log: logging.Logger) -> None:
    """Say what works but is probably not meant."""
    groups = config.group_search
    if not config.encrypted:
        log.warning("insecureNoSSL: passwords cross the network in plain text")
    elif config.insecure_skip_verify:
        log.warning("insecureSkipVerify: anybody may answer in the directory's name")
    if groups.user_attr or groups.group_attr:
        log.warning("groupSearch: userAttr and groupAttr are deprecated: userMatchers")
    if groups.base_dn and not any(each.user_attr for each in groups.matchers):
        log.warning("groupSearch.userMatchers is empty: nobody has groups")
    if groups.base_dn and not groups.name_attr:
        log.warning("groupSearch.nameAttr is not set: who has groups cannot log in")


def _acceptor(config: Config, log: logging.Logger) -> Acceptor | None:
    settings = config.kerberos
    if not settings.enabled:
        return None
    try:
        acceptor = Acceptor.open(settings)
    except NoKerberos as error:
        log.error("Kerberos is off: %s", error)
        return None
    if not settings.expected_realm:
        log.warning(
            "kerberos.expectedRealm is empty: jane@A and jane@B are the same person"
        )
    if settings.spn and settings.keytab_principal:
        log.warning(
            "kerberos.spn is not checked beside keytabPrincipal: every ticket that is"
            " encrypted with the key of %s counts",
            settings.keytab_principal,
        )
    if settings.max_clock_skew not in (300, 0):
        log.warning(
            "kerberos.maxClockSkew is %d: write clockskew = %d under [libdefaults] in"
            " krb5.conf, which alone decides",
            settings.max_clock_skew,
            settings.max_clock_skew,
        )
    return acceptor


def _can_be_a_login(username: str, password: str) -> bool:
    # RFC 4513 section 5.1.2: an empty password is no password but an anonymous login,
    # which many servers answer with success; some read no further than a NUL.
    if not username.strip() or not password or "\0" in password:
        return False
    try:
        return bool(username.encode() and password.encode())
    except UnicodeEncodeError:
        return False
