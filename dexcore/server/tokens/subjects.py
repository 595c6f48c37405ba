"""As whom a client knows an end user: the one place that decides on ``sub``.

OpenID Connect Core sections 8 and 8.1.  It is decided when somebody logs in, and all
tokens that come of the login keep to it, those of its refresh token included (section
12.2): what is not dex's is kept beside dex's records, in :class:`Extras`.
"""

from __future__ import annotations

import re

import attrs

from ...config.model import SubjectOptions
from ...oauth2 import subject_types, subjects
from ...oauth2.client_metadata import ClientMetadata
from ...oauth2.extras import Extras
from ...oauth2.grant_types import AUTHORIZATION_CODE, IMPLICIT, REFRESH_TOKEN
from ...oauth2.subject_types import DEX, HASHED, PAIRWISE, PLAIN, SubjectRule
from ...storage import Claims, Client, is_stranger, metadata_of

__all__ = ["NoSubject", "Subjects", "subject_of"]

#: Characters, all of them ASCII (OpenID Connect Core section 2).
LONGEST = 255

#: The grants that begin with a response to a redirect URI.
BY_REDIRECT = frozenset((AUTHORIZATION_CODE, IMPLICIT, REFRESH_TOKEN))

_HASH = re.compile(r"[A-Za-z0-9_-]{43}")


class NoSubject(Exception):
    """The client cannot know this user.  The text is for both of them to read."""


def subject_of(user_id: str, connector_id: str, extras: Extras) -> str:
    """Return ``sub`` of all tokens that come of one login."""
    return extras.subject or subjects.encode_subject(user_id, connector_id)


@attrs.frozen(eq=False)
class Subjects:
    """Knows users by the names that clients have for them.

    ``default`` is for clients that say nothing; ``salt`` is known to all replicas, and
    to nobody else.
    """

    default: SubjectRule
    salt: bytes = attrs.field(repr=False)

    @classmethod
    def of_options(cls, options: SubjectOptions, secret: bytes) -> Subjects:
        """Return what the section says; *secret* is the salt if it names none."""
        default = SubjectRule(options.default, options.previous)
        return cls(default, options.salt.encode() or secret)

    def settled(
        self, client: Client, claims: Claims, connector_id: str, beside: Extras
    ) -> Extras:
        """Return *beside* with the subject of somebody who has just logged in.

        Raises :class:`NoSubject`.
        """
        kind = self.rule(client).current
        subject = "" if kind == DEX else self._made(kind, client, claims, connector_id)
        if subject == beside.subject:
            return beside
        return attrs.evolve(beside, subject=subject)

    def known(
        self, client: Client, claims: Claims, connector_id: str
    ) -> tuple[str, ...]:
        """Return every subject by which *client* may mean this user.

        The current one comes first.  Raises :class:`NoSubject` if there is none.
        """
        rule = self.rule(client)
        if rule.current == DEX and not rule.previous:
            return (subjects.encode_subject(claims.user_id, connector_id),)
        found = [self._made(rule.current, client, claims, connector_id)]
        for kind in rule.previous:
            try:
                found.append(self._made(kind, client, claims, connector_id))
            except NoSubject:
                continue
        return tuple(found)

    def announced(self, client: Client, claims: Claims, connector_id: str) -> str:
        """Return the subject for a logout token; ``""`` where that is not certain.

        While a change runs the client may know the user by either name, so that only
        the session can be named.
        """
        if self.rule(client).previous:
            return ""
        try:
            return self.known(client, claims, connector_id)[0]
        except NoSubject:
            return ""

    def needs_claims(self, client: Client) -> bool:
        """Return whether the ids of a user are not enough for the client's subject."""
        return bool(subject_types.claim_of(self.rule(client).current))

    def is_shared(self, client: Client) -> bool:
        """Return whether other clients may bring what *client* calls a user.

        As clients of dex may.  Any other subject is a matter of the client and us.
        """
        return self.rule(client) == SubjectRule()

    def rule(self, client: Client) -> SubjectRule:
        """Return the type of the client's subjects."""
        return subject_types.rule_of(metadata_of(client), self.default)

    def _made(
        self, kind: str, client: Client, claims: Claims, connector_id: str
    ) -> str:
        user_id = claims.user_id
        if kind == DEX:
            return subjects.encode_subject(user_id, connector_id)
        if kind == HASHED:
            return subjects.hash_subject(self.salt, user_id, connector_id)
        if kind == PAIRWISE:
            sector = _sector(client)
            return subjects.hash_subject(self.salt, user_id, connector_id, sector)
        if kind == PLAIN:
            return _checked(user_id, "id")
        return _claim(subject_types.claim_of(kind), claims)


def _sector(client: Client) -> str:
    metadata = metadata_of(client)
    if is_stranger(client) and not _proves_its_host(client, metadata):
        # Else it could call itself one of a sector, and learn what that knows.
        return client.id
    try:
        return subject_types.sector_of(
            client.redirect_uris, metadata.sector_identifier_uri
        )
    except ValueError as unknown:
        raise NoSubject(
            f"The application needs a sector_identifier_uri: {unknown}."
        ) from None


def _proves_its_host(client: Client, metadata: ClientMetadata) -> bool:
    """Return whether all tokens of *client* go where only its hosts can read them.

    Whoever registers a redirect URI need not be at home there; codes come to who is.
    """
    return BY_REDIRECT.issuperset(metadata.grant_types or ("",)) and all(
        uri.startswith("https://") for uri in client.redirect_uris
    )


def _claim(name: str, claims: Claims) -> str:
    values = {
        "email": claims.email,
        "preferred_username": claims.preferred_username,
        "name": claims.username,
    }
    if name == "email" and claims.email and not claims.email_verified:
        # Else whoever enters another's address upstream would be them.
        raise NoSubject(
            "The application knows its users by their email address, and this one is "
            "not verified."
        )
    value = _checked(values[name], name)
    if _HASH.fullmatch(value) or _is_encoded(value):
        # Who may choose a name must not choose what stands for somebody else, at a
        # client whose subjects were of another type.
        raise NoSubject(f"The {name} of this account cannot be used here.")
    return value


def _checked(value: str, name: str) -> str:
    """Return *value* if it can be a subject (OpenID Connect Core section 2)."""
    if not value:
        raise NoSubject(
            f"The application knows its users by their {name}, and this account has "
            "none."
        )
    if len(value) > LONGEST or not value.isascii() or not value.isprintable():
        raise NoSubject(
            f"The application knows its users by their {name}, and that of this "
            f"account is too long, or not in ASCII."
        )
    return value


def _is_encoded(value: str) -> bool:
    """Return whether *value* is what dex would call some user."""
    try:
        return subjects.encode_subject(*subjects.decode_subject(value)) == value
    except ValueError:
        return False
