"""What the browser brings back from upstream: a code, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping

from dexcore.errors import (
    AccessDenied,
    DexcoreError,
    UnmetAuthenticationRequirements,
    UpstreamError,
    UpstreamUnavailable,
    WrongRequest,
)
from dexcore.oauth2.words import quote

from .kept import Log
from .provider import Provider

__all__ = ["SAID_NO", "code_of"]

#: RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6: the end user, or
#: whoever rules there, said no.
SAID_NO = {
    "access_denied": "The login was refused at the identity provider.",
    "login_required": "The identity provider wants you to log in there first.",
    "interaction_required": "The identity provider wants to ask you something first.",
    "consent_required": "The identity provider wants your consent first.",
    "account_selection_required": "The identity provider wants you to choose an "
    "account first.",
}
_CANNOT_NOW = ("temporarily_unavailable", "server_error")


def code_of(told: Mapping[str, str], provider: Provider, log: Log) -> str:
    """Return the authorization code in *told*, the parameters of the callback.

    Raises ``AccessDenied`` or an ``UpstreamError`` for what the provider says instead,
    and ``WrongRequest`` for what cannot be its answer.
    """
    # RFC 9207 section 2.4: before anything of it is believed.
    said = told.get("iss")
    if said is None and provider.names_itself:
        raise WrongRequest("The answer does not say which provider it is from.")
    if said is not None and said != provider.issuer:
        log.warning("an answer of the issuer %s was brought here", quote(said))
        raise WrongRequest("The answer is from another provider.")
    if "error" in told:
        raise _refusal(told["error"], told.get("error_description", ""), log)
    code = told.get("code", "")
    if not code:
        raise WrongRequest("The answer of the identity provider has no code.")
    return code


def _refusal(error: str, words: str, log: Log) -> DexcoreError:
    """Return what to raise.

    The words come with the browser, whoever sent it: only the log has them.
    """
    message = f"The provider answered {quote(error)}: {quote(words)}."
    if error in SAID_NO:
        log.info(message)
        return AccessDenied(SAID_NO[error])
    if error == UnmetAuthenticationRequirements.error:
        log.info(message)
        return UnmetAuthenticationRequirements(
            "The identity provider cannot log you in as it was asked to."
        )
    if error in _CANNOT_NOW:
        return UpstreamUnavailable(message)
    return UpstreamError(message)
