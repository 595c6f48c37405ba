"""Objects as dex reads and writes them, to the byte, and what happens to the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import orjson
import pytest

from dexcore_storage_kubernetes import KubernetesStorage
from dexcore_storage_kubernetes.documents import ANNOTATION, Documents
from dexcore_storage_kubernetes.double import ApiServer
from dexcore_storage_kubernetes.resources import RESOURCES

from dexcore.storage import (
    KINDS,
    PKCE,
    ZERO_TIME,
    AuthCode,
    AuthRequest,
    AuthSession,
    Claims,
    Client,
    ClientAuthState,
    ClientCredentialsClaims,
    Connector,
    DeviceRequest,
    DeviceToken,
    Keys,
    LogoutState,
    MFASecret,
    NotFound,
    OfflineSessions,
    Password,
    RefreshToken,
    RefreshTokenRef,
    StorageError,
    UserIdentity,
    VerificationKey,
    WebAuthnCredential,
)
from dexcore.storage.codec import parse_time
from dexcore.testing.storage import SAMPLES

THEN = parse_time("2026-08-06T12:30:45.123456789Z")
EXPIRY = datetime(2126, 8, 6, 12, 30, 45, tzinfo=UTC)
CLAIMS = Claims("1", "jane", "j", "jane@example.com", True, ("a & b",))
JWK = {"use": "sig", "kty": "EC", "kid": "kid1", "crv": "P-256", "alg": "ES256"}

_CLAIMS = (
    '{"userID":"1","username":"jane","preferredUsername":"j",'
    r'"email":"jane@example.com","emailVerified":true,"groups":["a \u0026 b"]}'
)
_NOBODY = (
    '{"userID":"","username":"","preferredUsername":"",'
    '"email":"","emailVerified":false}'
)
_THEN = '"2026-08-06T12:30:45.123456789Z"'
_EXPIRY = '"2126-08-06T12:30:45Z"'
_ZERO = '"0001-01-01T00:00:00Z"'
_JWK = '{"use":"sig","kty":"EC","kid":"kid1","crv":"P-256","alg":"ES256"}'

#: A record, the name of its object, and the fields of dex's document of it.
GOLDEN: list[tuple[Any, str, str]] = [
    (
        Client(
            "c1",
            "sec",
            ("https://a/cb?x=1&y=2",),
            name="App",
            trusted_peers=("p",),
            mfa_chain=("totp",),
            post_logout_redirect_uris=("https://a/bye",),
            backchannel_logout_uri="https://a/logout",
            refresh_token_lifetime="session",
            logo_url="https://a/logo",
            allowed_connectors=("ldap",),
            sso_shared_with=("*",),
        ),
        "mmy4x4u44scceizf",
        r'"id":"c1","secret":"sec","redirectURIs":["https://a/cb?x=1\u0026y=2"],'
        '"trustedPeers":["p"],"public":false,"name":"App","logoURL":"https://a/logo",'
        '"allowedConnectors":["ldap"],"mfaChain":["totp"],'
        '"postLogoutRedirectURIs":["https://a/bye"],"ssoSharedWith":["*"],'
        '"backchannelLogoutURI":"https://a/logout","refreshTokenLifetime":"session"',
    ),
    (Client("c2", public=True, sso_shared_with=()), "mmzmx4u44scceizf",
     '"id":"c2","public":true,"ssoSharedWith":[]'),
    (Client("c3"), "mmz4x4u44scceizf", '"id":"c3","public":false,"ssoSharedWith":null'),
    (
        AuthRequest(
            "r1",
            "c1",
            ("code",),
            ("openid",),
            "https://a/cb",
            "n",
            "s",
            True,
            "login",
            60,
            THEN,
            EXPIRY,
            True,
            CLAIMS,
            "ldap",
            b"{}",
            PKCE("ch", "S256"),
            b"key",
            True,
            b"[]",
        ),
        "r1",
        '"clientID":"c1","responseTypes":["code"],"scopes":["openid"],'
        '"redirectURI":"https://a/cb","nonce":"n","state":"s",'
        f'"forceApprovalPrompt":true,"loggedIn":true,"claims":{_CLAIMS},'
        f'"connectorID":"ldap","connectorData":"e30=","expiry":{_EXPIRY},'
        '"code_challenge":"ch","code_challenge_method":"S256","hmac_key":"a2V5",'
        '"mfa_validated":true,"webauthn_session_data":"W10=","prompt":"login",'
        f'"maxAge":60,"authTime":{_THEN}',
    ),
    (
        AuthRequest("r2", "c1", (), expiry=EXPIRY, hmac_key=b"k"),
        "r2",
        f'"clientID":"c1","redirectURI":"","loggedIn":false,"claims":{_NOBODY},'
        f'"expiry":{_EXPIRY},"hmac_key":"aw==","mfa_validated":false,"maxAge":-1,'
        f'"authTime":{_ZERO}',
    ),
    (
        AuthCode(
            "code1",
            "c1",
            "https://a/cb",
            "n",
            ("openid",),
            "ldap",
            b"{}",
            CLAIMS,
            EXPIRY,
            "s1",
            THEN,
            PKCE("ch", "S256"),
        ),
        "code1",
        '"clientID":"c1","scopes":["openid"],"redirectURI":"https://a/cb","nonce":"n",'
        f'"claims":{_CLAIMS},"connectorID":"ldap","connectorData":"e30=",'
        f'"expiry":{_EXPIRY},"code_challenge":"ch","code_challenge_method":"S256",'
        f'"authTime":{_THEN},"sessionID":"s1"',
    ),
    (
        RefreshToken(
            "r1", "c1", "t", "o", THEN, THEN, "ldap", b"{}", CLAIMS, ("openid",), "n"
        ),
        "r1",
        f'"CreatedAt":{_THEN},"LastUsed":{_THEN},"clientID":"c1","scopes":["openid"],'
        f'"token":"t","obsoleteToken":"o","nonce":"n","claims":{_CLAIMS},'
        '"connectorID":"ldap","connectorData":"e30="',
    ),
    (
        Password("Jane@example.com", b"h", "jane", "Jane", "j", False, "1", ("a",)),
        "njqw4zkamv4gc3lqnrss4y3pnxf7fhheqqrcgji",
        '"email":"jane@example.com","hash":"aA==","username":"jane","name":"Jane",'
        '"preferredUsername":"j","emailVerified":false,"userID":"1","groups":["a"]',
    ),
    (
        Password("foo", b"h"),
        "mzxw7s7sttsiiirdeu",
        '"email":"foo","hash":"aA=="',
    ),
    (
        Keys(JWK, JWK, (VerificationKey(JWK, EXPIRY),), EXPIRY),
        "openid-connect-keys",
        f'"signingKey":{_JWK},"signingKeyPub":{_JWK},"verificationKeys":'
        f'[{{"publicKey":{_JWK},"expiry":{_EXPIRY}}}],"nextRotation":{_EXPIRY}',
    ),
    (
        OfflineSessions(
            "john", "local", {"c1": RefreshTokenRef("r1", "c1", THEN, THEN, "s1")}
        ),
        "olvwklepe43wg",
        '"userID":"john","connID":"local","refresh":{"c1":{"ID":"r1","ClientID":"c1",'
        f'"CreatedAt":{_THEN},"LastUsed":{_THEN},"SessionID":"s1"}}}}',
    ),
    (
        Connector("ldap", "ldap", "L", "", b"{}", ("password",)),
        "ldap",
        '"id":"ldap","type":"ldap","name":"L","config":"e30=","grantTypes":["password"]',
    ),
    (
        DeviceRequest("BCDF-GHJK", "d1", "c1", "sec", ("openid",), EXPIRY),
        "bcdf-ghjk",
        '"device_code":"d1","client_id":"c1","client_secret":"sec",'
        f'"scopes":["openid"],"expiry":{_EXPIRY}',
    ),
    (
        DeviceToken("d1", "complete", "{}", EXPIRY, THEN, 5, PKCE("ch", "S256")),
        "d1",
        f'"status":"complete","token":"{{}}","expiry":{_EXPIRY},"last_request":{_THEN},'
        '"poll_interval":5,"code_challenge":"ch","code_challenge_method":"S256"',
    ),
    (
        UserIdentity(
            "jane",
            "local",
            CLAIMS,
            {"c1": ("email",)},
            {"totp-1": MFASecret("totp-1", "TOTP", "otpauth://totp/x", False, THEN)},
            {
                "wa": (
                    WebAuthnCredential(
                        b"\x01\x02\xff",
                        b"\x03",
                        "none",
                        bytes(16),
                        5,
                        transport=("usb",),
                        display_name="Security Key",
                        created_at=THEN,
                    ),
                )
            },
            THEN,
            THEN,
        ),
        "fl5aryxkpnft4",
        f'"userID":"jane","connectorID":"local","claims":{_CLAIMS},'
        '"consents":{"c1":["email"]},"mfaSecrets":{"totp-1":{"authenticatorID":"totp-1",'
        '"type":"TOTP","secret":"otpauth://totp/x","confirmed":false,'
        f'"createdAt":{_THEN}}}}},"webauthnCredentials":{{"wa":[{{"credentialID":"AQL/",'
        '"publicKey":"Aw==","attestationType":"none",'
        '"aaguid":"AAAAAAAAAAAAAAAAAAAAAA==","signCount":5,"cloneWarning":false,'
        '"transport":["usb"],"backupEligible":false,"backupState":false,'
        f'"displayName":"Security Key","createdAt":{_THEN}}}]}},"createdAt":{_THEN},'
        f'"lastLogin":{_THEN},"blockedUntil":{_ZERO}',
    ),
    (
        AuthSession(
            "s1",
            "sec",
            "1",
            "ldap",
            {"c1": ClientAuthState(THEN, THEN)},
            THEN,
            THEN,
            "::1",
            "UA",
            EXPIRY,
            EXPIRY,
            LogoutState("https://x", "st", "c1", "ldap"),
        ),
        "s1",
        '"userID":"1","connectorID":"ldap","secret":"sec","clientStates":{"c1":'
        f'{{"AuthenticatedAt":{_THEN},"LastActivity":{_THEN},"LastTokenIssuedAt":{_ZERO},'
        f'"ViaSSO":false}}}},"createdAt":{_THEN},"lastActivity":{_THEN},'
        f'"ipAddress":"::1","userAgent":"UA","absoluteExpiry":{_EXPIRY},'
        f'"idleExpiry":{_EXPIRY},"logoutState":{{"PostLogoutRedirectURI":"https://x",'
        '"State":"st","ClientID":"c1","ConnectorID":"ldap"}',
    ),
]  # fmt: skip


def resource_of(record: Any) -> Any:
    return next(one for one in RESOURCES if one.kind.record is type(record))


def as_text(document: dict[str, Any]) -> str:
    return orjson.dumps(document).decode()


@pytest.mark.parametrize(
    ("record", "name", "fields"), GOLDEN, ids=lambda it: type(it).__name__
)
def test_a_new_object_is_dexs_to_the_byte(record: Any, name: str, fields: str) -> None:
    resource = resource_of(record)
    assert resource.names(*resource.kind.key_of(record))[0] == name
    written = Documents(resource, "ns").new(record, name).decode()
    assert written == (
        f'{{"kind":"{resource.type}","apiVersion":"dex.coreos.com/v1",'
        f'"metadata":{{"name":"{name}","namespace":"ns"}},{fields}}}'
    )


@pytest.mark.parametrize(
    ("record", "name", "fields"), GOLDEN, ids=lambda it: type(it).__name__
)
def test_what_dex_wrote_is_read_and_written_back_to_the_byte(
    record: Any, name: str, fields: str
) -> None:
    resource = resource_of(record)
    documents: Documents[Any] = Documents(resource, "ns")
    metadata = (
        f'{{"name":"{name}","namespace":"ns","uid":"u","resourceVersion":"7",'
        '"creationTimestamp":"2026-08-06T12:30:45Z","labels":{"a":"b"},'
        '"managedFields":[{"manager":"dex"}]}'
    )
    there = (
        f'{{"kind":"{resource.type}","apiVersion":"dex.coreos.com/v1",'
        f'"metadata":{metadata},{fields}}}'
    )
    stored = documents.read(orjson.loads(there))
    expected = record
    if isinstance(record, Connector):
        expected = attrs.evolve(record, resource_version="7")
    if isinstance(record, Password):
        expected = attrs.evolve(record, email=record.email.lower())
    assert stored.record == expected
    assert documents.changed(stored, stored.record).decode() == there


async def test_nothing_in_a_document_of_dex_is_nothing_to_us(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """Go leaves out what is empty, and writes null for what is nil."""
    await storage.offline_sessions.create(OfflineSessions("john", "local"))
    await storage.user_identities.create(UserIdentity("jane", "local"))
    for plural in ("offlinesessionses", "useridentities"):
        (body,) = server.objects(plural).values()
        assert "refresh" not in body
        assert "consents" not in body
    read = await storage.offline_sessions.get("john", "local")
    assert dict(read.refresh) == {}
    legacy = {"metadata": {"name": "s1", "uid": "u", "resourceVersion": "1"}}
    session = Documents(resource_of(AuthSession("s1")), "ns").read(
        {**legacy, "nonce": "old", "clientStates": None}
    )
    assert session.record == AuthSession("s1")
    assert session.record.absolute_expiry == ZERO_TIME


async def test_what_others_added_to_an_object_stays(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """Fields of a newer dex, labels, annotations."""
    resource = next(one for one in RESOURCES if one.kind.name == "refresh_token")
    body = orjson.loads(Documents(resource, "default").new(RefreshToken("r", "c"), "r"))
    body["fromTheFuture"] = {"x": [1]}
    body["metadata"]["labels"] = {"team": "a"}
    body["metadata"]["annotations"] = {"dexidp.com/resource-lock": "2026"}
    await server.apply("refreshtokens", body)
    await storage.refresh_tokens.update(
        "r", change=lambda old: attrs.evolve(old, token="new", nonce="")
    )
    after = server.objects("refreshtokens")["r"]
    assert after["token"] == "new"
    assert after["fromTheFuture"] == {"x": [1]}
    assert after["metadata"]["labels"] == {"team": "a"}
    assert after["metadata"]["annotations"] == {"dexidp.com/resource-lock": "2026"}


async def test_what_dex_has_no_place_for_is_in_an_annotation(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    claims = ClientCredentialsClaims(("machines",))
    client = Client("c", mfa_chain=(), client_credentials_claims=claims)
    await storage.clients.create(client)
    (body,) = server.objects("oauth2clients").values()
    assert "mfaChain" not in body
    assert "clientCredentialsClaims" not in body
    assert body["metadata"]["annotations"] == {
        ANNOTATION: '{"clientCredentialsClaims":{"groups":["machines"]},"mfaChain":[]}'
    }
    await storage.clients.update(
        "c",
        change=lambda old: attrs.evolve(
            old, mfa_chain=("totp",), client_credentials_claims=None
        ),
    )
    (body,) = server.objects("oauth2clients").values()
    assert body["mfaChain"] == ["totp"]
    assert "annotations" not in body["metadata"]


async def test_two_users_whose_names_collide_in_dex_both_have_their_record(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    """The first has dex's name, so that dex finds it; nobody gets the other's."""
    await storage.user_identities.create(UserIdentity("ab", "c"))
    with pytest.raises(NotFound):
        await storage.user_identities.get("a", "bc")
    await storage.user_identities.create(UserIdentity("a", "bc"))
    first, second = server.objects("useridentities")
    assert first == "3domugdlv6w4w"
    assert second.startswith("3domugdlv6w4w-")
    await storage.user_identities.delete("ab", "c")
    assert [*server.objects("useridentities")] == [second]
    assert await storage.user_identities.get("a", "bc") == UserIdentity("a", "bc")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_key_that_can_be_no_name_is_not_found(
    storage: KubernetesStorage, kind: Any
) -> None:
    """Anybody can ask for a code that no object could be called."""
    for junk in ("../secrets", "A b", "é", "", "x" * 5000, "a\x00", "\ud800"):
        if not kind.key:
            continue
        key = (junk, *("local" for _ in kind.key[1:]))
        records = getattr(storage, kind.collection)
        for attempt in (
            records.get(*key),
            records.take(*key),
            records.delete(*key),
            records.update(*key, change=lambda old: old),
        ):
            with pytest.raises(NotFound):
                await attempt
    assert await getattr(storage, kind.collection).list() == []


async def test_a_record_that_no_object_can_be_called_after_is_refused(
    storage: KubernetesStorage,
) -> None:
    for record, records in (
        (Connector("My Connector"), storage.connectors),
        (Client("c" * 200), storage.clients),
    ):
        with pytest.raises(StorageError, match="Kubernetes cannot name"):
            await records.create(record)  # type: ignore[attr-defined]


async def test_an_object_that_is_broken_says_which_one_it_is(
    storage: KubernetesStorage, server: ApiServer
) -> None:
    sample = SAMPLES["auth_code"].first
    resource = resource_of(sample)
    body = orjson.loads(Documents(resource, "default").new(sample, "code1"))
    await server.apply("authcodes", {**body, "scopes": "openid"})
    with pytest.raises(StorageError, match="The AuthCode 'code1' cannot be read"):
        await storage.auth_codes.get("code1")
