"""What is asked of the directory: who is this, is that their password, their groups.

Blocking: for threads only.  Every call ends at the moment its caller names.
"""

from __future__ import annotations

import secrets

import attrs

from dexcore.errors import AccessDenied, UpstreamError

from . import codec
from .codec import BadFilter, Result
from .config import Config, UserMatcher
from .entries import Entry, is_dn
from .filters import group_filter, user_filter
from .identity import STATE, group_name
from .servers import Declined, Servers
from .wire import Connection, Found, Query

#: How many groups somebody may have.  Whoever has more gets no token: one without
#: some of them could say the opposite of what is meant.
MOST_GROUPS = 5000


@attrs.frozen
class Directory:
    """The entries behind ``userSearch`` and ``groupSearch``."""

    config: Config
    servers: Servers

    def find(self, username: str, until: float) -> Entry | None:
        """Return the only entry of *username*, ``None`` if there is none.

        Raises ``UpstreamError`` if there are several.
        """
        search = self.config.user_search
        filter = user_filter(search.filter, search.usernames, username.encode())
        query = Query(
            search.base_dn, search.scope or "sub", filter, self._user_attributes, 2
        )
        found = self._search(query, until)
        if found.result.code == codec.NO_SUCH_OBJECT:
            raise UpstreamError(
                f"userSearch.baseDN {search.base_dn!r} does not exist, or is hidden"
                f" from the account that searches: {found.result}"
            )
        if found.result.code == codec.SIZE_LIMIT or len(found.entries) > 1:
            raise UpstreamError(
                f"several entries match {filter!r}: {_names(found.entries)}"
            )
        _check(found.result, f"search below {search.base_dn!r}")
        return found.entries[0] if found.entries else None

    def is_password(self, dn: str, password: bytes, until: float) -> bool:
        """Return whether the directory lets *dn* in with *password*.

        Raises ``AccessDenied`` if it would, but for a reason of its own.
        """
        result = self._bind(dn, password, until)
        if result.code == codec.SUCCESS:
            return True
        # The second is what some servers say after too many wrong passwords.
        if result.code in (codec.INVALID_CREDENTIALS, codec.CONSTRAINT_VIOLATION):
            return False
        if result.code == codec.UNWILLING:
            raise AccessDenied("The directory does not let this account log in.")
        raise UpstreamError(f"bind as {dn!r}: {result}")

    def try_nobody(self, until: float) -> None:
        """Cost what a wrong password does, so that time does not tell who exists.

        The directory is asked about a name that nobody can have: there is no account
        that it could lock, and whatever it answers says nothing.
        """
        dn = f"cn=nobody-{secrets.token_hex(16)},{self.config.user_search.base_dn}"
        self._bind(dn, secrets.token_hex(8).encode(), until)

    def groups(self, user: Entry, until: float) -> tuple[str, ...]:
        """Return the names of the groups *user* is in, each once, nearest first."""
        names: dict[str, None] = {}
        seen = 0
        if not self.config.group_search.base_dn:
            return ()
        for matcher in self.config.group_search.matchers:
            expanded: set[str] = set()
            for value in user.raw(matcher.user_attr) if matcher.user_attr else ():
                level = self._groups_with(matcher.group_attr, value, until)
                while level:
                    seen += len(level)
                    if seen > MOST_GROUPS:
                        raise _too_many(user.dn)
                    names.update(dict.fromkeys(map(self._name, level)))
                    level = self._around(level, matcher, expanded, until)
        return tuple(names)

    def _around(
        self, level: list[Entry], matcher: UserMatcher, expanded: set[str], until: float
    ) -> list[Entry]:
        """Return the groups around those of *level* we have not looked at yet.

        Each is looked at once: there may be circles.
        """
        attribute = matcher.recursion_group_attr
        if not attribute:
            return []
        fresh = [group.dn for group in level if group.dn not in expanded]
        expanded.update(fresh)
        around: dict[str, Entry] = {}
        for dn in fresh:
            for outer in self._groups_with(attribute, dn.encode(), until):
                around.setdefault(outer.dn, outer)
        return list(around.values())

    def _groups_with(self, attribute: str, value: bytes, until: float) -> list[Entry]:
        search = self.config.group_search
        filter = group_filter(search.filter, attribute, value)
        wanted = () if is_dn(search.name_attr) else (search.name_attr,)
        attributes = tuple(name for name in wanted if name)
        query = Query(
            search.base_dn, search.scope or "sub", filter, attributes, MOST_GROUPS
        )
        found = self._search(query, until)
        if found.result.code == codec.NO_SUCH_OBJECT:
            return []
        if found.result.code == codec.SIZE_LIMIT and len(found.entries) >= MOST_GROUPS:
            raise _too_many(filter)
        _check(found.result, f"search below {search.base_dn!r}")
        return list(found.entries)

    def _name(self, group: Entry) -> str:
        return group_name(group, self.config.group_search.name_attr)

    def _bind(self, dn: str, password: bytes, until: float) -> Result:
        def job(connection: Connection, until: float) -> Result:
            result = connection.bind(dn, password, until)
            _check_load(connection, "bind", result)
            return result

        return self.servers.try_password(job, until)

    def _search(self, query: Query, until: float) -> Found:
        def job(connection: Connection, until: float) -> Found:
            found = connection.search(query, until)
            _check_load(connection, "search", found.result)
            return found

        try:
            return self.servers.search(job, until)
        except BadFilter as error:
            raise UpstreamError(str(error)) from None

    @property
    def _user_attributes(self) -> tuple[str, ...]:
        search = self.config.user_search
        wanted = [
            search.id_attr,
            *([] if search.email_suffix else [search.email_attr]),
            *search.usernames,
            *(matcher.user_attr for matcher in self.config.group_search.matchers),
            search.name_attr,
            search.preferred_username_attr,
            *search.claim_attrs.values(),
            *STATE,
        ]
        return tuple(dict.fromkeys(n for n in wanted if n and not is_dn(n)))


def _check(result: Result, operation: str) -> None:
    if result.code != codec.SUCCESS:
        raise UpstreamError(f"{operation}: {result}")


def _check_load(connection: Connection, operation: str, result: Result) -> None:
    if result.code in (codec.BUSY, codec.UNAVAILABLE):
        raise Declined(f"{connection.address}: {operation}: {result}")


def _names(entries: tuple[Entry, ...]) -> str:
    return ", ".join(repr(entry.dn) for entry in entries) + " …"


def _too_many(whose: str) -> UpstreamError:
    return UpstreamError(f"{whose!r} has more than {MOST_GROUPS} groups")
