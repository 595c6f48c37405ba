"""What an upstream provider says about itself (OpenID Connect Discovery section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dexcore.errors import UpstreamError
from dexcore.http import HttpClient
from dexcore.jose import ALGORITHMS

from .config import Config, check_url

__all__ = ["Provider", "discover", "read"]

_REDIRECTS = 3  # an issuer may have moved; nobody moves further


@attrs.frozen
class Provider:
    """Where its endpoints are, empty if it has none, and what it can do.

    ``issuer`` is what its tokens say; ``auth_methods`` is ``None`` if it does not say;
    ``names_itself`` is whether it names itself in the callback (RFC 9207),
    ``takes_claims`` whether it takes the ``claims`` parameter (Core section 5.5).
    """

    issuer: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    jwks_uri: str = ""
    userinfo_endpoint: str = ""
    introspection_endpoint: str = ""
    end_session_endpoint: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    userinfo_algorithms: tuple[str, ...] = ("RS256",)
    auth_methods: tuple[str, ...] | None = None
    pkce_methods: tuple[str, ...] = ()
    names_itself: bool = False
    takes_claims: bool = False

    def endpoint(self, name: str) -> str:
        """Return an endpoint the provider must have; raise ``UpstreamError``."""
        url: str = getattr(self, name)
        if not url:
            raise UpstreamError(f"The provider {self.issuer!r} has no {name}.")
        return url


async def discover(http: HttpClient, config: Config) -> Provider:
    """Ask the provider what it is like; raise ``UpstreamError``."""
    # Section 4.1: a slash at the end goes before the path is added.
    base = config.issuer.removesuffix("/")
    answer = await http.get(
        f"{base}/.well-known/openid-configuration", redirects=_REDIRECTS
    )
    return read(answer.check().object(), config)


def read(document: Mapping[str, Any], config: Config) -> Provider:
    """Return the provider that *document* describes; raise ``UpstreamError``.

    Overrides of the configuration replace what it says, each for itself.
    """
    _check_issuer(document, config)
    overrides = config.provider_discovery_overrides
    return Provider(
        issuer=config.token_issuer,
        authorization_endpoint=overrides.auth_url
        or _url(document, "authorization_endpoint"),
        token_endpoint=overrides.token_url or _url(document, "token_endpoint"),
        jwks_uri=overrides.jwks_url or _url(document, "jwks_uri"),
        userinfo_endpoint=overrides.user_info_url
        or _url(document, "userinfo_endpoint"),
        introspection_endpoint=_url(document, "introspection_endpoint"),
        end_session_endpoint=overrides.end_session_url
        or _url(document, "end_session_endpoint"),
        algorithms=_algorithms(document, "id_token_signing_alg_values_supported"),
        userinfo_algorithms=_algorithms(
            document, "userinfo_signing_alg_values_supported"
        ),
        auth_methods=_texts(document, "token_endpoint_auth_methods_supported"),
        pkce_methods=_texts(document, "code_challenge_methods_supported") or (),
        names_itself=document.get("authorization_response_iss_parameter_supported")
        is True,
        takes_claims=document.get("claims_parameter_supported") is True,
    )


def _check_issuer(document: Mapping[str, Any], config: Config) -> None:
    # Section 4.3: it must be the one we asked.  With an alias somebody has said that it
    # goes by another name.
    said = document.get("issuer")
    if not config.issuer_alias and said != config.issuer:
        raise UpstreamError(
            f"The provider at {config.issuer!r} says that its issuer is {said!r}. "
            "Write that as the issuer; if it is right under both names, write it as "
            "issuerAlias."
        )


def _url(document: Mapping[str, Any], name: str) -> str:
    url = document.get(name) or ""
    try:
        if url:
            check_url(name, url)
    except (ValueError, TypeError, AttributeError):
        raise UpstreamError(
            f"The provider says that its {name} is {url!r}, which is no address."
        ) from None
    return str(url)


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    found = document.get(name)
    if not isinstance(found, list):
        return None
    return tuple(each for each in found if isinstance(each, str))


def _algorithms(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the signatures we accept: those advertised, by keys that are public.

    ``none``, and ``HS256`` with its shared secret, are never among them (RFC 8725
    section 3.1).
    """
    usable = tuple(each for each in _texts(document, name) or () if each in ALGORITHMS)
    return usable or ("RS256",)
