"""Who we are and what verifies our tokens: discovery and JWKS.

OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3, RFC 7517 section 5.  The
documents are bytes made ahead and made anew when the keys change.
"""

from __future__ import annotations

from typing import Any

import attrs
import orjson

from aiohttp import web
from multidict import CIMultiDict

from ..jose import ALGORITHMS, KeySet
from ..oauth2.client_metadata import AUTH_METHODS
from ..oauth2.dpop import SIGNING_ALGORITHMS
from ..oauth2.grant_types import DEVICE_CODE, IMPLICIT, JWT_BEARER
from ..oauth2.prompts import PROMPTS
from ..oauth2.response_modes import MODES
from ..oauth2.response_types import CODE, possible
from ..oauth2.scopes import SCOPES
from ..oauth2.subject_types import REGISTERED
from ..oauth2.user_claims import FURTHER
from ..signer import JWKS_MAX_AGE, Signer
from .urls import Issuer

_HEADERS = CIMultiDict({"Content-Type": "application/json"})
_KEYS_HEADERS = CIMultiDict(
    {
        **_HEADERS,
        "Cache-Control": f"max-age={JWKS_MAX_AGE}, must-revalidate",
    }
)


@attrs.define
class Discovery:
    """``/.well-known/openid-configuration``, RFC 8414's path, and ``/keys``."""

    issuer: Issuer
    signer: Signer
    grant_types: tuple[str, ...]
    response_types: tuple[str, ...]
    challenge_methods: tuple[str, ...]
    sessions: bool = attrs.field(default=False, kw_only=True)
    id_jag: bool = attrs.field(default=False, kw_only=True)
    require_pushed: bool = attrs.field(default=False, kw_only=True)
    registration: bool = attrs.field(default=False, kw_only=True)
    client_documents: bool = attrs.field(default=False, kw_only=True)
    _made_for: KeySet | None = None
    _body: bytes = b""

    async def document(self, request: web.Request) -> web.Response:
        """Answer the discovery document."""
        key_set = self.signer.key_set
        if key_set is not self._made_for:
            described = self.describe()
            self._body = orjson.dumps(described, option=orjson.OPT_INDENT_2)
            self._made_for = key_set
        return web.Response(body=self._body, headers=_HEADERS.copy())

    async def keys(self, request: web.Request) -> web.Response:
        """Answer the public keys."""
        return web.Response(body=self.signer.key_set.jwks, headers=_KEYS_HEADERS.copy())

    def describe(self) -> dict[str, Any]:
        """Return the discovery document."""
        url = self.issuer.absolute
        return {
            "issuer": self.issuer.url,
            "authorization_endpoint": url("/auth"),
            "token_endpoint": url("/token"),
            "jwks_uri": url("/keys"),
            "userinfo_endpoint": url("/userinfo"),
            **self._device(),
            **self._pushed(),
            "introspection_endpoint": url("/token/introspect"),
            "revocation_endpoint": url("/token/revoke"),
            **self._sessions(),
            **self._dpop(),
            **self._assertions(),
            **self._registration(),
            **self._grants(),
            **self._responses(),
            "subject_types_supported": list(REGISTERED),
            "id_token_signing_alg_values_supported": list(self.signer.algorithms),
            "code_challenge_methods_supported": list(self.challenge_methods),
            "scopes_supported": list(SCOPES),
            **_client_authentication(),
            "claims_supported": [
                "iss",
                "sub",
                "aud",
                "iat",
                "exp",
                "auth_time",
                "email",
                "email_verified",
                "name",
                "preferred_username",
                "at_hash",
                "c_hash",
                "groups",
                "federated_claims",
                *(("sid",) if self.sessions else ()),
                "acr",
                "amr",
                *FURTHER,
            ],
            "request_parameter_supported": True,
            "request_object_signing_alg_values_supported": [*ALGORITHMS, "none"],
            "request_uri_parameter_supported": False,
            **self._told(),
        }

    def _told(self) -> dict[str, Any]:
        """Return how a client can ask what it wants to be told.

        Which acr there are is for the providers behind us to know.
        """
        return {
            "claims_parameter_supported": True,
            # What our pages are written in.
            "ui_locales_supported": ["en"],
        }

    def _grants(self) -> dict[str, Any]:
        # OpenID Connect Registration section 2: which grant a response type is.
        types = possible(self.response_types)
        implicit = [IMPLICIT] if any(each != CODE for each in types) else []
        return {
            "grant_types_supported": sorted([*self.grant_types, *implicit]),
            "response_types_supported": sorted(types),
        }

    def _responses(self) -> dict[str, Any]:
        # RFC 9207 section 3; OpenID Connect Discovery section 3.
        return {
            "response_modes_supported": list(MODES),
            "authorization_response_iss_parameter_supported": True,
        }

    def _sessions(self) -> dict[str, Any]:
        """Return what only a provider with sessions can do.

        RP-Initiated Logout section 2.1, Session Management section 3.3, Back-Channel
        Logout section 2.1, Front-Channel Logout section 3.
        """
        if not self.sessions:
            return {}
        return {
            "end_session_endpoint": self.issuer.absolute("/logout"),
            "check_session_iframe": self.issuer.absolute("/check-session"),
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
            "frontchannel_logout_supported": True,
            "frontchannel_logout_session_supported": True,
            "prompt_values_supported": list(PROMPTS),
        }

    def _pushed(self) -> dict[str, Any]:
        # RFC 9126 section 5.
        return {
            "pushed_authorization_request_endpoint": self.issuer.absolute("/par"),
            "require_pushed_authorization_requests": self.require_pushed,
        }

    def _assertions(self) -> dict[str, list[str]]:
        # draft-ietf-oauth-identity-assertion-authz-grant: what a client looks for.
        if JWT_BEARER not in self.grant_types or not self.id_jag:
            return {}
        return {
            "authorization_grant_profiles_supported": [
                "urn:ietf:params:oauth:grant-profile:id-jag"
            ]
        }

    def _dpop(self) -> dict[str, list[str]]:
        # RFC 9449 section 5.1.
        return {"dpop_signing_alg_values_supported": [*SIGNING_ALGORITHMS]}

    def _registration(self) -> dict[str, Any]:
        """Return how clients introduce themselves, where they may.

        RFC 8414 section 2, draft-ietf-oauth-client-id-metadata-document section 5.
        """
        found: dict[str, Any] = {}
        if self.registration:
            found["registration_endpoint"] = self.issuer.absolute("/register")
        if self.client_documents:
            found["client_id_metadata_document_supported"] = True
        return found

    def _device(self) -> dict[str, str]:
        # RFC 8628 section 4.
        if DEVICE_CODE not in self.grant_types:
            return {}
        url = self.issuer.absolute("/device/code")
        return {"device_authorization_endpoint": url}


def _client_authentication() -> dict[str, list[str]]:
    """Return how clients prove themselves (RFC 8414 section 2)."""
    found: dict[str, list[str]] = {}
    for endpoint in ("token", "introspection", "revocation"):
        methods = [name for name in AUTH_METHODS if name != "none"]
        if endpoint != "introspection":
            methods.append("none")
        found[f"{endpoint}_endpoint_auth_methods_supported"] = methods
        name = f"{endpoint}_endpoint_auth_signing_alg_values_supported"
        found[name] = [*ALGORITHMS]
    return found
