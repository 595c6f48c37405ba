"""The rules for ``resources``: what tokens can be for (RFC 8707)."""

from __future__ import annotations

from datetime import timedelta

from ..oauth2 import scopes
from ..oauth2.resources import is_resource
from .durations import format_duration
from .findings import Findings, Path
from .model import Config, Resource

_NOTHING = timedelta(0)


def check_resources(config: Config, found: Findings) -> None:
    """Write down everything that is wrong with the resources."""
    seen: dict[str, int] = {}
    for index, resource in enumerate(config.resources):
        at: Path = ("resources", index)
        if resource.id in seen:
            first = found.at(("resources", seen[resource.id], "id"))
            found.error(
                (*at, "id"),
                f'a resource with the id "{resource.id}" is there already, at line '
                f"{first.line}",
                "Change the id, or remove one of them.",
            )
        seen[resource.id] = index
        _check_id(config, resource, at, found)
        _check_scopes(resource, at, found)
        _check_lifetime(config, resource, at, found)


def _check_id(config: Config, resource: Resource, at: Path, found: Findings) -> None:
    if not found.given((*at, "id")):
        return  # the key is missing; that is said already
    if not is_resource(resource.id):
        found.error(
            (*at, "id"),
            f'the resource "{resource.id}" is not an absolute URI without fragment',
            'Write the whole URL of the API, such as "https://api.example.com/".',
        )
    elif resource.id == config.issuer:
        found.error(
            (*at, "id"),
            "the issuer is a resource already, for every client",
            "Remove this entry.",
        )


def _check_scopes(resource: Resource, at: Path, found: Findings) -> None:
    for place, name in enumerate(resource.scopes or ()):
        if scopes.unknown((name,)):
            found.error(
                (*at, "scopes", place),
                f'the scope "{name}" is not known',
                f"There are {', '.join(scopes.SCOPES)}.",
            )


def _check_lifetime(
    config: Config, resource: Resource, at: Path, found: Findings
) -> None:
    length, longest = resource.token_lifetime, config.expiry.id_tokens
    # Keys stay published, and revocations remembered, for as long as ID tokens live.
    if length < _NOTHING or length > longest:
        found.error(
            (*at, "tokenLifetime"),
            f"tokenLifetime is not between 0 and {format_duration(longest)}, which is "
            "how long ID tokens live",
            "Write less, or raise expiry.idTokens.",
        )
