"""What everything is made of: each part opened once, as the file says."""

from __future__ import annotations

import logging

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime

import attrs
import orjson

from ..config import Config, ConnectorEntry, Plugged, structure
from ..config.flags import Flags
from ..errors import ConfigError, DexcoreError
from ..oauth2.redirect_uris import DEVICE_CALLBACK
from ..oauth2.registration import Rules
from ..oauth2.response_types import CODE
from ..passwords import Passwords
from ..plugins import Extensions, Plugins
from ..signer import Signer, SignerContext
from ..signup import Signup, SignupContext
from ..storage import Connector as ConnectorRecord
from ..storage import Storage, StorageContext
from ..storage.static import overlay
from .audit import Audit
from .client_assertions import ClientAssertions
from .client_documents import ClientDocuments
from .client_keys import ClientKeys
from .clients import Clients
from .connectors import Connectors
from .pages import Pages
from .registered_clients import rules_of
from .sealing import derive, shared_key
from .tokens.revocations import Revocations
from .tokens.session_names import SessionNames
from .tokens.subjects import Subjects
from .trusted_issuers import TrustedIssuers
from .urls import Issuer

Now = Callable[[], datetime]

log = logging.getLogger("dexcore.server")


@attrs.frozen(eq=False)
class Parts:
    """What everything is made of."""

    config: Config
    issuer: Issuer
    storage: Storage
    signer: Signer
    connectors: Connectors
    clients: Clients
    client_keys: ClientKeys
    trusted_issuers: TrustedIssuers
    pages: Pages
    passwords: Passwords
    revocations: Revocations
    subjects: Subjects
    session_names: SessionNames
    extensions: Extensions
    signups: tuple[Signup, ...]
    secret: bytes
    audit: Audit
    now: Now

    @property
    def strict(self) -> bool:
        """Whether the specifications come before what clients of dex may rely on."""
        return self.config.compat == "strict"


async def open_parts(
    config: Config,
    plugins: Plugins,
    now: Now,
    environ: Mapping[str, str],
    stack: AsyncExitStack,
) -> Parts:
    """Open what *config* names; *stack* closes it, whatever was open when one failed.

    Raises ``ConfigError``, ``PluginError`` or ``StorageError``.
    """
    _check_built(config)
    issuer = Issuer(config.issuer)
    extensions = plugins.extensions(config.plugins)
    pages = Pages.open(config.frontend, issuer, extensions.template_dirs)
    storage = await _open_storage(config, plugins)
    stack.push_async_callback(storage.close)
    passwords = Passwords()
    stack.callback(passwords.close)
    signer = await _open_signer(config, plugins, storage, now)
    stack.push_async_callback(signer.close)
    revocations = Revocations(storage, now)
    await revocations.load()
    connectors = await Connectors.open(
        storage,
        plugins,
        passwords=passwords,
        continue_on_failure=Flags.from_environ(environ).continue_on_connector_failure,
        now=now,
    )
    stack.push_async_callback(connectors.close)
    signups = await _open_signups(config, plugins, storage, passwords, stack)
    of_file = frozenset(client.id for client in config.static_clients)
    client_keys = ClientKeys(of_file, config.registration.private_addresses)
    stack.push_async_callback(client_keys.close)
    trusted_issuers = TrustedIssuers.of(config.oauth2.jwt_bearer.trusted_issuers)
    stack.push_async_callback(trusted_issuers.close)
    secret = await shared_key(storage, "server", now())
    subjects = Subjects.of_options(config.subjects, derive(secret, "subjects"))
    strict = config.compat == "strict"
    assertions = ClientAssertions.of(client_keys, storage, issuer, now, strict=strict)
    return Parts(
        config=config,
        issuer=issuer,
        storage=storage,
        signer=signer,
        connectors=connectors,
        clients=Clients(
            storage, assertions, of_file, now, _documents(config, issuer, signer, stack)
        ),
        client_keys=client_keys,
        trusted_issuers=trusted_issuers,
        pages=pages,
        passwords=passwords,
        revocations=revocations,
        subjects=subjects,
        session_names=SessionNames(subjects),
        extensions=extensions,
        signups=signups,
        secret=secret,
        audit=Audit(),
        now=now,
    )


async def _open_storage(config: Config, plugins: Plugins) -> Storage:
    kind = plugins.storage_type(config.storage.type)
    async with _blaming(plugins, "storage", config.storage.type):
        options = structure(config.storage.config, kind.config, where="storage")
        storage = await kind.open(options, StorageContext())
    return overlay(
        storage,
        clients=config.static_clients,
        passwords=config.static_passwords,
        connectors=tuple(_record(entry) for entry in config.connectors),
    )


async def _open_signer(
    config: Config, plugins: Plugins, storage: Storage, now: Now
) -> Signer:
    kind = plugins.signer_type(config.signer.type or "local")
    async with _blaming(plugins, "signer", config.signer.type):
        return await kind.open(
            structure(config.signer.config, kind.config),
            SignerContext(storage, config.expiry.id_tokens, now),
        )


async def _open_signups(
    config: Config,
    plugins: Plugins,
    storage: Storage,
    passwords: Passwords,
    stack: AsyncExitStack,
) -> tuple[Signup, ...]:
    if not config.enable_signup:
        return ()
    opened = []
    for entry in config.signup:
        opened.append(await _open_signup(entry, plugins, storage, passwords))
        stack.push_async_callback(opened[-1].close)
    return tuple(opened)


async def _open_signup(
    entry: Plugged, plugins: Plugins, storage: Storage, passwords: Passwords
) -> Signup:
    kind = plugins.signup_type(entry.type)
    async with _blaming(plugins, "signup", entry.type):
        return await kind.open(
            structure(entry.config, kind.config, where="signup"),
            SignupContext(storage, passwords),
        )


@asynccontextmanager
async def _blaming(plugins: Plugins, kind: str, name: str) -> AsyncIterator[None]:
    """Say which plugin it was, whatever it raises while it opens."""
    try:
        yield
    except DexcoreError:
        raise
    except Exception as error:
        raise plugins.failed(kind, name, "open", error) from error


def _documents(
    config: Config, issuer: Issuer, signer: Signer, stack: AsyncExitStack
) -> ClientDocuments | None:
    if not config.registration.client_id_metadata_documents:
        return None

    def rules() -> Rules:
        return rules_of(
            config,
            grant_types=config.oauth2.grant_types,
            response_types=(CODE,),
            signing_algorithm=signer.key_set.algorithm,
            secrets=False,
            logout=False,
        )

    callback = issuer.path(DEVICE_CALLBACK)
    documents = ClientDocuments(rules, callback, config.registration.private_addresses)
    stack.push_async_callback(documents.close)
    return documents


def _record(entry: ConnectorEntry) -> ConnectorRecord:
    return ConnectorRecord(
        id=entry.id,
        type=entry.type,
        name=entry.name,
        config=orjson.dumps(dict(entry.config)),
        grant_types=tuple(entry.grant_types),
    )


def _check_built(config: Config) -> None:
    """Refuse what would be less secure than the file asks; warn of the rest.

    A second factor that is not asked for is a hole, so it stops the server; a missing
    API or page is only an inconvenience.
    """
    chains = (client.mfa_chain for client in config.static_clients)
    if config.mfa.authenticators or config.mfa.default_mfa_chain or any(chains):
        raise ConfigError(
            "Second factors (mfa, mfaChain) cannot be asked for by this version, so "
            "the file is not served. Remove them to go on without."
        )
    missing = {
        "grpc": bool(config.grpc.addr),
        "telemetry.enableProfiling": config.telemetry.enable_profiling,
    }
    for key, asked in missing.items():
        if asked:
            log.warning("not served by this version", extra={"fields": {"key": key}})
