"""The connector: a form to the identity provider, and the form that comes back."""

from __future__ import annotations

import asyncio
import hashlib

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import attrs

from cryptography import x509

from dexcore.connector import (
    Callback,
    CallbackConnector,
    ConnectorContext,
    Document,
    FormPost,
    Identity,
    MetadataConnector,
    RefreshConnector,
    Scopes,
)
from dexcore.errors import (
    AccessDenied,
    AlreadyExists,
    UnmetAuthenticationRequirements,
)
from dexcore.oauth2.times import utcnow
from dexcore.options import InvalidOption
from dexcore.storage import Replay

from .acceptance import Accepted, NotLoggedIn, Policy, accept
from .certificates import PrivateKey, read_key
from .config import Saml
from .identity import identity_of, refreshed
from .provider import Provider, ProviderSource, open_provider
from .requests import ServiceProvider, authn_request, metadata
from .rules import Expected
from .signatures import Untrusted
from .workers import SHARED, Workers
from .xml import Rejected

__all__ = ["SamlConnector", "open_saml"]

_REFUSED = (
    "The answer of the identity provider was not accepted. Please try again, or "
    "contact your administrator."
)
_NOT_LOGGED_IN = "The identity provider did not log you in."
_NO_CONTEXT = "urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext"
_OTHER_CONTEXT = "The identity provider cannot log you in as it was asked to."


@attrs.frozen(eq=False)
class SamlConnector(CallbackConnector, RefreshConnector, MetadataConnector):
    """One identity provider."""

    config: Saml
    context: ConnectorContext
    source: ProviderSource
    sp: ServiceProvider
    workers: Workers = SHARED
    now: Callable[[], datetime] = utcnow

    async def begin(self, scopes: Scopes, callback_url: str, state: str) -> FormPost:
        """Return the form that asks the identity provider to log somebody in.

        *state* is the request's id as well: the answer has to name it.
        """
        provider = await self.source.current()
        request = await self.workers.run(
            authn_request,
            self.sp,
            provider.sso_url,
            state,
            self.now(),
            # SAML knows no age: who wants a login of late gets one of now.
            scopes.max_age >= 0,
            # Nor wishes: a context that is requested is one that must be.
            scopes.acr_values if scopes.acr_essential else (),
        )
        fields = {"SAMLRequest": request, "RelayState": state}
        return FormPost(provider.sso_url, fields, connector_data=state.encode())

    async def finish(self, scopes: Scopes, callback: Callback) -> Identity:
        """Return whom the posted response is about.

        Raises ``AccessDenied`` for one that is not accepted; the log says why.
        """
        encoded = callback.form.getall("SAMLResponse", [])
        request_id = callback.connector_data.decode("utf-8", "replace")
        if len(encoded) != 1 or not request_id:
            raise self._refused("no SAMLResponse, or none that was asked for")
        accepted = await self._accepted(encoded[0], request_id)
        await self._burn(accepted)
        return identity_of(accepted.assertion, self.config, scopes, self.now())

    async def refresh(self, scopes: Scopes, identity: Identity) -> Identity:
        """Return the end user as they logged in; there is nobody to ask."""
        return refreshed(identity, self.config, scopes, self.now())

    async def metadata(self, callback_url: str) -> Document:
        """Return the document that registers us with an identity provider."""
        return Document(metadata(self.sp), "application/samlmetadata+xml")

    async def close(self) -> None:
        """Stop reading metadata."""
        await self.source.close()

    async def _accepted(self, encoded: str, request_id: str) -> Accepted:
        provider = await self.source.current()
        try:
            return await self._judge(encoded, request_id, provider)
        except Untrusted as first:
            # The provider may have a new key since we last looked.
            renewed = await self.source.renewed(provider)
            if renewed is None:
                raise self._refused(str(first)) from None
            return await self._judge(encoded, request_id, renewed, last=True)

    async def _judge(
        self, encoded: str, request_id: str, provider: Provider, *, last: bool = False
    ) -> Accepted:
        config = self.config
        policy = Policy(
            provider.signers,
            self.sp.decryption_keys,
            config.want_response_signed,
            config.want_assertion_signed,
        )
        expected = Expected(
            request_id,
            config.redirect_uri,
            config.entity_id,
            provider.issuers,
            config.clock_skew,
            self.now(),
        )
        try:
            return await self.workers.run(accept, encoded, policy, expected)
        except NotLoggedIn as error:
            self._note("SAML login failed upstream", str(error))
            if error.status.detail == _NO_CONTEXT:
                raise UnmetAuthenticationRequirements(_OTHER_CONTEXT) from None
            raise AccessDenied(_NOT_LOGGED_IN) from None
        except Untrusted as error:
            if last:
                raise self._refused(str(error)) from None
            raise
        except Rejected as error:
            raise self._refused(str(error)) from None

    async def _burn(self, accepted: Accepted) -> None:
        """Let no assertion log in twice, here or on another replica."""
        assertion = accepted.assertion
        # The length keeps two pairs from becoming one text.
        named = f"{len(assertion.issuer)} {assertion.issuer} {assertion.id}"
        id = f"saml-{hashlib.sha224(named.encode()).hexdigest()}"
        try:
            await self.context.storage.replays.create(Replay(id, accepted.until))
        except AlreadyExists:
            raise self._refused("an assertion that was used before") from None

    def _refused(self, reason: str) -> AccessDenied:
        self._note("SAML response refused", reason)
        return AccessDenied(_REFUSED)

    def _note(self, message: str, reason: str) -> None:
        fields = {"connector_id": self.context.id, "reason": reason[:1000]}
        self.context.log.warning(message, extra={"fields": fields})


async def open_saml(config: Saml, context: ConnectorContext) -> SamlConnector:
    """Read certificates, keys and metadata.

    Raises ``InvalidOption`` for files that cannot be used and ``UpstreamError`` for
    metadata that cannot be read now.
    """
    sp = await asyncio.to_thread(_service_provider, config)
    source = await open_provider(config, SHARED, context, context.now)
    connector = SamlConnector(config, context, source, sp, now=context.now)
    _warn(connector, await source.current())
    return connector


def _service_provider(config: Saml) -> ServiceProvider:
    keys = tuple(_key(path) for path in config.key_files)
    certificate = None
    if config.sp_cert:
        try:
            pem = Path(config.sp_cert).read_bytes()
            certificate = x509.load_pem_x509_certificate(pem)
        except (OSError, ValueError) as error:
            raise _unusable("spCert", config.sp_cert, error) from None
        if keys[0].public_key() != certificate.public_key():
            raise InvalidOption(
                "spCert is not the certificate of the first spKey",
                key="spCert",
                remedy="Name the key and the certificate of the same pair.",
            )
    return ServiceProvider(
        config.entity_id,
        config.redirect_uri,
        config.name_id_format,
        keys,
        certificate,
        config.sign_requests,
        config.want_assertion_signed,
    )


def _key(path: str) -> PrivateKey:
    try:
        return read_key(path)
    except (OSError, ValueError) as error:
        raise _unusable("spKey", path, error) from None


def _unusable(key: str, path: str, error: Exception) -> InvalidOption:
    return InvalidOption(
        f'{key} "{path}" cannot be used: {error}',
        key=key,
        remedy="Name a PEM file that the server may read.",
    )


def _warn(connector: SamlConnector, provider: Provider) -> None:
    """Say loudly what is unwise."""
    said, now = connector.context.log.warning, connector.now()
    fields = {"connector_id": connector.context.id}
    if provider.signers is None:
        said(
            "INSECURE: SAML signatures are not verified, so anybody can log in as "
            "anybody. Remove insecureSkipSignatureValidation.",
            extra={"fields": fields},
        )
        return
    if provider.signers.allow_sha1:
        said(
            "INSECURE: SAML signatures made with SHA-1 are accepted. "
            "Let the identity provider sign with SHA-256.",
            extra={"fields": fields},
        )
    if not provider.issuers:
        said(
            "ssoIssuer is empty: whatever issuer an assertion names is believed, if "
            "the certificate fits",
            extra={"fields": fields},
        )
    for certificate in provider.signers.certificates:
        ends = certificate.not_valid_after_utc
        if ends < now:
            expired = {**fields, "subject": certificate.subject.rfc4514_string()}
            said("SAML certificate has expired", extra={"fields": expired})
