"""As whom clients know an end user: what a file says of it that cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..oauth2 import subject_types
from ..oauth2.client_metadata import ClientMetadata, may_be_fetched
from ..oauth2.subject_types import (
    BY_SALT,
    DEX,
    HASHED,
    PAIRWISE,
    PLAIN,
    PUBLIC,
    REGISTERED,
    SubjectRule,
    claim_of,
)
from ..storage import Client, metadata_of
from .findings import Findings, Path
from .model import Config, SubjectOptions
from .problems import suggest

#: A salt shorter than this can be guessed, in characters.
SHORTEST_SALT = 16

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MAKE_A_SALT = "Make one with: openssl rand -base64 32."
_KINDS = (DEX, PLAIN, "claim:email", PAIRWISE, HASHED)
_SECTOR = 'Add "sector_identifier_uri: https://…": its host names the sector.'


def with_salt(
    written: SubjectOptions, environ: Mapping[str, str], found: Findings
) -> SubjectOptions:
    """Return the section with its salt, wherever the file says that it is."""
    at: Path = ("subjects", "saltEnv" if written.salt_env else "salt")
    salt = written.salt
    if salt and written.salt_env:
        found.error(at, "salt and saltEnv exclude each other", "Keep one of them.")
    elif written.salt_env:
        salt = environ.get(written.salt_env, "")
        if not salt:
            found.error(
                at,
                f"the environment variable {written.salt_env} is not set or empty",
                f"Set {written.salt_env} where the server starts.",
            )
            return written
    if salt and len(salt) < SHORTEST_SALT:
        message = f"the salt is shorter than {SHORTEST_SALT} characters"
        found.error(at, message, _MAKE_A_SALT)
    return attrs.evolve(written, salt=salt)


def check_subjects(config: Config, found: Findings) -> None:
    """Write down what is wrong, or unwise, with the subjects of all clients."""
    default = SubjectRule(config.subjects.default, config.subjects.previous)
    _check_rule(default, ("subjects",), "default", "previous", found)
    _warn(default.current, ("subjects", "default"), config, None, found)
    salted = bool(BY_SALT.intersection(default.types))
    for index, client in enumerate(config.static_clients):
        at: Path = ("staticClients", index, "metadata")
        metadata = metadata_of(client)
        rule = subject_types.rule_of(metadata, default)
        _check_words(metadata, at, found)
        written = SubjectRule(metadata.subject or DEX, metadata.previous_subjects)
        _check_rule(written, at, "subject", "previous_subjects", found)
        _check_sector(client, metadata, rule, at, found)
        if metadata.subject:
            _warn(metadata.subject, (*at, "subject"), config, client, found)
        salted = salted or bool(BY_SALT.intersection(rule.types))
    if salted and not config.subjects.salt:
        found.warn(
            ("subjects",) if found.given(("subjects",)) else ("storage",),
            "the subjects of clients depend on a secret that only the storage has",
            f"Set subjects.salt, so that they outlive it. {_MAKE_A_SALT}",
        )


def _check_rule(
    rule: SubjectRule, at: Path, current: str, previous: str, found: Findings
) -> None:
    places = [(current, rule.current)]
    for place, text in (*places, *((previous, each) for each in rule.previous)):
        path = (*at, place)
        if place == previous:
            path = found.item(path, text)
        try:
            subject_types.check(text)
        except ValueError as wrong:
            found.error(path, str(wrong), _meant(text))


def _meant(text: str) -> str:
    if text.startswith(subject_types.CLAIM) or text in subject_types.CLAIMS:
        named = ", ".join(subject_types.CLAIM + name for name in subject_types.CLAIMS)
        return f"Write one of {named}."
    return suggest(text, _KINDS)


def _check_words(metadata: ClientMetadata, at: Path, found: Findings) -> None:
    word, subject = metadata.subject_type, metadata.subject
    if word and word not in REGISTERED:
        message = f'the subject type "{word}" is not supported'
        found.error((*at, "subject_type"), message, suggest(word, REGISTERED))
    elif subject and word and (word == PAIRWISE) != (subject == PAIRWISE):
        message = f'subject_type "{word}" and subject "{subject}" exclude each other'
        found.error((*at, "subject_type"), message, "Keep one of them.")
    uri = metadata.sector_identifier_uri
    if uri and not may_be_fetched(uri):
        found.error(
            (*at, "sector_identifier_uri"),
            f'"{uri}" is no https address',
            "Its host names the sector, so it must be one that somebody owns.",
        )


def _check_sector(
    client: Client,
    metadata: ClientMetadata,
    rule: SubjectRule,
    at: Path,
    found: Findings,
) -> None:
    uri = metadata.sector_identifier_uri
    place = (*at, "subject") if metadata.subject else (*at, "subject_type")
    if PAIRWISE not in rule.types:
        if uri and metadata.subject_type != PUBLIC:
            found.warn(
                (*at, "sector_identifier_uri"),
                "the client has no pairwise subjects, so there is no sector",
                'Write "subject_type: pairwise", or remove this.',
            )
        return
    try:
        sector = subject_types.sector_of(client.redirect_uris, uri)
    except ValueError as unknown:
        # OpenID Connect Core section 8.1.
        message = f"the client has pairwise subjects, and {unknown}"
        found.error(place, message, _SECTOR)
        return
    if sector in _LOOPBACK:
        found.warn(
            place,
            f'all clients at "{sector}" share their pairwise subjects',
            _SECTOR,
        )


def _warn(
    text: str, at: Path, config: Config, client: Client | None, found: Findings
) -> None:
    """Warn of subjects that may be two people's."""
    if claim := claim_of(text):
        found.warn(
            at,
            f"whoever gets another's {claim} gets their accounts",
            f"Be sure that every connector gives each {claim} to one person, for ever.",
        )
        return
    ways = {entry.id for entry in config.connectors}
    if config.enable_password_db:
        ways.add("local")
    if client is not None and client.allowed_connectors:
        ways.intersection_update(client.allowed_connectors)
    if text == PLAIN and len(ways) > 1:
        found.warn(
            at,
            "users of several connectors may have the same id, and to the client they "
            "are one person",
            "Allow one connector (allowedConnectors), or be sure that no two know the "
            "same id.",
        )
