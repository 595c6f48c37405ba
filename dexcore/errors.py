"""Every refusal, as a drawn tree.

* DexcoreError
  * ConfigError                     the configuration file asks for what cannot be
  * PluginError                     an installed plugin could not be used
  * StorageError                    the storage could not do what it was asked
    * NotFound                      no record has this key
    * AlreadyExists                 a record with this key is already there
    * ReadOnly                      the record comes from the configuration file
    * StorageUnavailable            the database cannot be reached, is full, is locked
  * UpstreamError                   an upstream identity provider failed
    * UpstreamUnavailable           it did not answer, or answered 5xx
  * Refusal                         a request is refused; somebody gets to read why
    * OAuthError                    with a code of the OAuth error registry
      * InvalidRequest, InvalidClient, InvalidGrant, InvalidScope, InvalidToken …
      * AccessDenied
        * NotInRequiredGroups       a connector: the end user is in none of the groups
      * AuthorizationPending        a device has to ask again
        * SlowDown                    and less often
      * LoginRequired, InteractionRequired, ConsentRequired …
      * UnmetAuthenticationRequirements
    * PageRefusal                   a page for a person: a status and a sentence
      * WrongRequest, Unauthorized, Forbidden, NotFoundPage, MethodNotAllowed …

Refusing is raising.  Where a refusal goes (a redirect to the client, a page, JSON) is
decided in one place, :mod:`dexcore.server.channels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class DexcoreError(Exception):
    """The root of everything raised here on purpose."""


# — Start-up ---------------------------------------------------------------------------


class ConfigError(DexcoreError):
    """The configuration file asks for something that cannot be.

    The text says where (file, line, column), what, and what to do about it.
    """


class PluginError(DexcoreError):
    """A plugin could not be found, imported, configured, opened or called.

    ``stage`` is which of these it was: ``find``, ``import``, ``contract``, ``offer``,
    ``config`` or ``open``; ``remedy`` is a sentence, if we know one.
    """

    def __init__(
        self,
        message: str,
        *,
        distribution: str = "",
        version: str = "",
        entry_point: str = "",
        stage: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.distribution = distribution
        self.version = version
        self.entry_point = entry_point
        self.stage = stage
        self.remedy = remedy


# — Storage ----------------------------------------------------------------------------


class StorageError(DexcoreError):
    """The storage could not do what it was asked."""


class NotFound(StorageError):
    """No record has this key."""


class AlreadyExists(StorageError):
    """A record with this key is already there."""


class ReadOnly(StorageError):
    """The record comes from the configuration file and cannot be changed."""


class StorageUnavailable(StorageError):
    """The database cannot be reached, is full or stays locked: try again later."""


# — Upstream ---------------------------------------------------------------------------


class UpstreamError(DexcoreError):
    """An upstream identity provider answered something that cannot be right.

    The text goes to the log, with the connector's id, which the server fills in; the
    end user reads a general sentence and the id of the log entry.
    """

    connector_id: str = ""


class UpstreamUnavailable(UpstreamError):
    """An upstream identity provider did not answer in time, or answered 5xx."""


# — Requests ---------------------------------------------------------------------------


class Refusal(DexcoreError):
    """A request is refused.

    ``status`` is the HTTP status of a page or a JSON answer; ``description`` is safe to
    show to whoever asked; ``headers`` go with the answer.
    """

    status: int = 400
    headers: Mapping[str, str] = {}

    def __init__(self, description: str = "", *, status: int | None = None) -> None:
        super().__init__(description)
        self.description = description
        if status is not None:
            self.status = status


def described(text: str) -> str:
    """Return *text* as an ``error_description`` may be.

    RFC 6749 sections 4.1.2.1 and 5.2: ASCII, with neither " nor a backslash.
    """
    return "".join(
        char if " " <= char <= "~" and char != "\\" else "?"
        for char in text.replace('"', "'")
    )


class OAuthError(Refusal):
    """A refusal with a code from the OAuth error registry (RFC 6749 section 11.4)."""

    error: ClassVar[str] = "invalid_request"

    def parameters(self) -> dict[str, str]:
        """Return ``error`` and, if there is one, ``error_description``."""
        found = {"error": self.error}
        if self.description:
            found["error_description"] = described(self.description)
        return found


class InvalidRequest(OAuthError):
    """RFC 6749 sections 4.1.2.1 and 5.2."""

    error = "invalid_request"


class TooLarge(InvalidRequest):
    """The body is larger than we read."""

    status = 413


class TooSlow(InvalidRequest):
    """The body did not arrive in time (RFC 9110 section 15.5.9)."""

    status = 408


class InvalidClient(OAuthError):
    """RFC 6749 section 5.2; 401 asks for credentials (RFC 9110 section 11.6.1)."""

    error = "invalid_client"
    status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Basic realm="dexcore"'}


class InvalidGrant(OAuthError):
    """RFC 6749 section 5.2."""

    error = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """RFC 6749 sections 4.1.2.1 and 5.2."""

    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """RFC 6749 section 5.2."""

    error = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """RFC 6749 section 4.1.2.1."""

    error = "unsupported_response_type"


class InvalidScope(OAuthError):
    """RFC 6749 sections 4.1.2.1 and 5.2."""

    error = "invalid_scope"


class InvalidTarget(OAuthError):
    """RFC 8707 section 2: the ``resource`` is unknown, or not for this client."""

    error = "invalid_target"


class UnsupportedTokenType(OAuthError):
    """RFC 7009 section 2.2.1."""

    error = "unsupported_token_type"


class RequestNotSupported(OAuthError):
    """OpenID Connect Core section 3.1.2.6: the ``request`` parameter."""

    error = "request_not_supported"


class InvalidRequestObject(OAuthError):
    """OpenID Connect Core section 3.1.2.6, RFC 9101 section 7."""

    error = "invalid_request_object"


class RequestUriNotSupported(OAuthError):
    """OpenID Connect Core section 3.1.2.6: the ``request_uri`` parameter."""

    error = "request_uri_not_supported"


class RegistrationNotSupported(OAuthError):
    """OpenID Connect Core section 3.1.2.6: the ``registration`` parameter."""

    error = "registration_not_supported"


class InvalidRedirectURI(OAuthError):
    """RFC 7591 section 3.2.2."""

    error = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """RFC 7591 section 3.2.2."""

    error = "invalid_client_metadata"


class UnapprovedSoftwareStatement(OAuthError):
    """RFC 7591 section 3.2.2."""

    error = "unapproved_software_statement"


class LoginRequired(OAuthError):
    """OpenID Connect Core section 3.1.2.6."""

    error = "login_required"


class InteractionRequired(OAuthError):
    """OpenID Connect Core section 3.1.2.6."""

    error = "interaction_required"


class ConsentRequired(OAuthError):
    """OpenID Connect Core section 3.1.2.6."""

    error = "consent_required"


class UnmetAuthenticationRequirements(OAuthError):
    """The login was not of a kind the client insists on.

    OpenID Connect Core Error Code unmet_authentication_requirements section 2.
    """

    error = "unmet_authentication_requirements"
    status = 403


class AccessDenied(OAuthError):
    """RFC 6749 section 4.1.2.1: the end user or a policy said no."""

    error = "access_denied"
    status = 403


class NotInRequiredGroups(AccessDenied):
    """A connector: the end user is in none of the groups that may log in."""

    def __init__(
        self, description: str = "", *, user_id: str = "", groups: tuple[str, ...] = ()
    ) -> None:
        super().__init__(
            description
            or "You are not a member of any of the required groups to authenticate."
        )
        self.user_id = user_id
        self.groups = groups


class AuthorizationPending(OAuthError):
    """RFC 8628 section 3.5: nobody has answered at the device page yet."""

    error = "authorization_pending"


class SlowDown(AuthorizationPending):
    """RFC 8628 section 3.5: as pending, and the device asked too soon."""

    error = "slow_down"


class ExpiredToken(OAuthError):
    """RFC 8628 section 3.5: the device code has expired."""

    error = "expired_token"


class InvalidToken(OAuthError):
    """RFC 6750 section 3.1: the access token is expired, revoked or not ours."""

    error = "invalid_token"
    status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InvalidDPoPProof(OAuthError):
    """RFC 9449 section 5: the proof is missing where it must be, or is not valid."""

    error = "invalid_dpop_proof"


class UseDPoPNonce(InvalidDPoPProof):
    """RFC 9449 section 8: prove again, with the *nonce* that goes with this answer."""

    error = "use_dpop_nonce"

    def __init__(self, nonce: str) -> None:
        super().__init__("The proof must have the nonce of this answer.")
        self.headers = {"DPoP-Nonce": nonce}


class MissingToken(OAuthError):
    """RFC 6750 section 3: no access token came with the request."""

    error = "invalid_request"
    status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class ServerError(OAuthError):
    """RFC 6749 section 4.1.2.1."""

    error = "server_error"
    status = 500


class TemporarilyUnavailable(OAuthError):
    """RFC 6749 section 4.1.2.1; 503 with ``Retry-After`` where there is no redirect."""

    error = "temporarily_unavailable"
    status = 503
    headers: Mapping[str, str] = {"Retry-After": "5"}


class TooManyRequests(OAuthError):
    """RFC 6585 section 4; *retry_after* is in seconds."""

    error = "temporarily_unavailable"
    status = 429

    def __init__(self, description: str = "", *, retry_after: int = 60) -> None:
        super().__init__(description)
        self.headers = {"Retry-After": str(retry_after)}


class PageRefusal(Refusal):
    """A refusal that is always a page for a person, never sent to a client."""


class WrongRequest(PageRefusal):
    """400: the request cannot be what its sender meant."""

    status = 400


class Unauthorized(PageRefusal):
    """401: the link was not made here, or not for this browser."""

    status = 401


class Forbidden(PageRefusal):
    """403."""

    status = 403


class NotFoundPage(PageRefusal):
    """404."""

    status = 404


class MethodNotAllowed(PageRefusal):
    """405."""

    status = 405
