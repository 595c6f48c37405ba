"""The clients and users of the file: environment variables read, hashes decoded."""

from __future__ import annotations

import base64
import binascii

from collections.abc import Callable, Mapping

import attrs

from ..oauth2.client_metadata import NO_METADATA, PRIVATE_KEY_JWT
from ..passwords import CostOutOfRange, MalformedHash, check
from ..storage import Client, DescribedClient, Password
from .client_metadata import check_metadata
from .model import StaticClient, StaticPassword

_MAKE_A_HASH = "Make one with: htpasswd -bnBC 10 '' PASSWORD | tr -d ':'."

#: Reports something about a key of a section (dots lead deeper): key, message, remedy.
Report = Callable[[str, str, str], None]


@attrs.frozen
class Reporter:
    """Where what is wrong with one entry goes."""

    error: Report
    warn: Report


def client_of(
    written: StaticClient, environ: Mapping[str, str], report: Reporter
) -> Client:
    """Return the record of one entry of ``staticClients``."""
    if not written.name:
        report.error("name", "a client needs a name", "Name it as users know it.")
    lifetime = written.refresh_token_lifetime
    if lifetime not in ("", "standalone", "session"):
        report.error(
            "refreshTokenLifetime",
            f'the lifetime "{lifetime}" is neither standalone nor session',
            "Write standalone or session, or leave it out.",
        )
    fields = attrs.asdict(written, recurse=False)
    del fields["id_env"], fields["secret_env"]
    fields["id"] = _client_id(written, environ, report)
    fields["secret"] = _client_secret(written, environ, report)
    metadata = fields.pop("metadata")
    if metadata == NO_METADATA:
        return Client(**fields)
    check_metadata(written, report.error)
    return DescribedClient(**fields, metadata=metadata)


def password_of(
    written: StaticPassword, environ: Mapping[str, str], report: Reporter
) -> Password:
    """Return the record of one entry of ``staticPasswords``."""
    if not written.email:
        report.error("email", "a static password needs an email", 'Add "email: …".')
    key, text = "hash", written.hash
    if text and written.hash_from_env:
        report.warn(
            "hashFromEnv", "hashFromEnv is ignored beside hash", "Keep one of them."
        )
    elif written.hash_from_env:
        key = "hashFromEnv"
        text = _variable(written.hash_from_env, key, environ, report)
    elif not text:
        report.error("hash", "a static password needs a hash", _MAKE_A_HASH)
    return Password(
        email=written.email.lower(),
        hash=_hash(text, key, report) if text else b"",
        username=written.username,
        name=written.name,
        preferred_username=written.preferred_username,
        email_verified=written.email_verified,
        user_id=written.user_id,
        groups=written.groups,
    )


def _client_id(
    written: StaticClient, environ: Mapping[str, str], report: Reporter
) -> str:
    if written.id and written.id_env:
        report.error("idEnv", "id and idEnv exclude each other", "Keep one of them.")
    elif written.id_env:
        return _variable(written.id_env, "idEnv", environ, report)
    elif not written.id:
        report.error("id", "a client needs an id", 'Add "id: …" or "idEnv: VARIABLE".')
    return written.id


def _client_secret(
    written: StaticClient, environ: Mapping[str, str], report: Reporter
) -> str:
    if written.secret and written.secret_env:
        report.error(
            "secretEnv", "secret and secretEnv exclude each other", "Keep one of them."
        )
    elif written.secret_env:
        return _variable(written.secret_env, "secretEnv", environ, report)
    elif not (written.secret or written.public or _has_keys(written)):
        report.error(
            "secret",
            "a client that is not public needs a secret",
            'Add "secret: …", "secretEnv: VARIABLE" or "public: true".',
        )
    return written.secret


def _has_keys(written: StaticClient) -> bool:
    return written.metadata.token_endpoint_auth_method == PRIVATE_KEY_JWT


def _variable(name: str, key: str, environ: Mapping[str, str], report: Reporter) -> str:
    """Return the variable; an unset one would let anybody in, so it is an error."""
    value = environ.get(name, "")
    if not value:
        what = "empty" if name in environ else "not set"
        report.error(
            key,
            f"the environment variable {name} is {what}",
            f"Set {name} where the server starts.",
        )
    return value


def _hash(text: str, key: str, report: Reporter) -> bytes:
    """Return the hash in *text*, which may also be the base64 of it, as in dex."""
    for candidate in (text.encode(), _decoded(text)):
        try:
            check(candidate)
        except MalformedHash:
            continue
        except CostOutOfRange as error:
            # As in dex the server starts, and this user cannot log in.
            report.warn(
                key,
                f"nobody can log in with this hash: {str(error).rstrip('.')}",
                _MAKE_A_HASH,
            )
        return candidate
    if text.startswith("$2"):
        report.error(
            key,
            "the bcrypt hash is malformed: it should have 60 characters and has "
            f"{len(text)}",
            "Copy all of it, and put it in single quotes.",
        )
    else:
        report.error(key, "this is not a bcrypt hash", _MAKE_A_HASH)
    return b""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
