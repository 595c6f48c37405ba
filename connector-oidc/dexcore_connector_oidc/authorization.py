"""The authorization request we send the browser with, and what we must remember of it.

What is remembered waits sealed in the browser that began, not in a storage: the PKCE
verifier and the nonce of this one login.
"""

from __future__ import annotations

import secrets

import attrs
import orjson

from dexcore.connector import Scopes
from dexcore.errors import UpstreamError
from dexcore.upstream import authorization_url, challenge, new_verifier

from .config import Config
from .provider import Provider

__all__ = ["Pending", "request_url"]


@attrs.frozen
class Pending:
    """What only this login knows; empty is what was not sent."""

    verifier: str = attrs.field(default="", repr=False)
    method: str = ""
    nonce: str = attrs.field(default="", repr=False)

    @classmethod
    def new(cls, config: Config, provider: Provider) -> Pending:
        """Make up a verifier and a nonce."""
        method = _pkce_method(config, provider)
        return cls(
            verifier=new_verifier() if method else "",
            method=method,
            nonce="" if config.insecure_skip_nonce else secrets.token_urlsafe(32),
        )

    @property
    def challenge(self) -> dict[str, str]:
        """What the provider is to know of the verifier (RFC 7636 section 4.3)."""
        if self.method == "plain":
            return {"code_challenge": self.verifier, "code_challenge_method": "plain"}
        return challenge(self.verifier)

    def pack(self) -> bytes:
        """Return this as ``connector_data``; ``codeChallenge`` is dex's name for it."""
        return orjson.dumps(
            {
                "codeChallenge": self.verifier,
                "codeChallengeMethod": self.method,
                "nonce": self.nonce,
            }
        )

    @classmethod
    def unpack(cls, data: bytes) -> Pending:
        """Return what :meth:`pack` packed; raise ``UpstreamError``."""
        try:
            known = orjson.loads(data)
            return cls(
                known["codeChallenge"], known["codeChallengeMethod"], known["nonce"]
            )
        except (ValueError, KeyError, TypeError):
            raise UpstreamError("This login was not begun here.") from None


def request_url(
    config: Config,
    provider: Provider,
    scopes: Scopes,
    pending: Pending,
    *,
    redirect_uri: str,
    state: str,
) -> str:
    """Return where the browser goes (OpenID Connect Core section 3.1.2.1)."""
    parameters = {
        "client_id": config.client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": " ".join(dict.fromkeys(("openid", *config.scopes))),
        "state": state,
    }
    if pending.nonce:
        parameters["nonce"] = pending.nonce
    if pending.method:
        parameters.update(pending.challenge)
    parameters |= _context(config, provider, scopes)
    if scopes.login_hint:
        parameters["login_hint"] = scopes.login_hint
    if scopes.ui_locales:
        parameters["ui_locales"] = " ".join(scopes.ui_locales)
    if scopes.max_age >= 0:
        parameters["max_age"] = str(scopes.max_age)
    if scopes.offline_access:
        # Google's way to ask for a refresh token; others have the scope for it.
        parameters["access_type"] = "offline"
    if scopes.offline_access or scopes.max_age == 0:
        parameters["prompt"] = _prompt(config, scopes)
    return authorization_url(provider.endpoint("authorization_endpoint"), parameters)


def _context(config: Config, provider: Provider, scopes: Scopes) -> dict[str, str]:
    """Return how the end user should log in: as the file says, else as the client.

    What a client insists on is not left to chance if the provider lets us insist (Core
    section 5.5.1.1).
    """
    if config.acr_values:
        return {"acr_values": " ".join(config.acr_values)}
    if not scopes.acr_values:
        return {}
    if scopes.acr_essential and provider.takes_claims:
        acr = {"essential": True, "values": scopes.acr_values}
        asked = {"id_token": {"acr": acr, "amr": None}}
        return {"claims": orjson.dumps(asked).decode()}
    return {"acr_values": " ".join(scopes.acr_values)}


def _prompt(config: Config, scopes: Scopes) -> str:
    """Return what the provider shall ask the end user for, whatever it remembers."""
    chosen = "" if not scopes.offline_access else config.prompt_type
    chosen = "consent" if chosen is None else chosen
    if scopes.max_age != 0:
        return chosen
    # Section 3.1.2.1: none stands alone, and who must log in must be asked.
    return " ".join(dict.fromkeys(["login", *chosen.replace("none", "").split()]))


def _pkce_method(config: Config, provider: Provider) -> str:
    if config.pkce_challenge:
        return config.pkce_challenge
    for method in ("S256", "plain"):
        if method in provider.pkce_methods:
            return method
    return ""
