"""Documents dex wrote are found where dex put them, and written back byte for byte."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from dexcore_storage_etcd import Etcd, EtcdStorage, open_storage

from dexcore.storage import (
    PKCE,
    AuthSession,
    Client,
    ClientAuthState,
    Connector,
    OfflineSessions,
    Password,
    Revocation,
    Storage,
    StorageError,
    UserIdentity,
)

TIME = "2026-08-06T12:30:45.123456789Z"
MOMENT = datetime(2026, 8, 6, 12, 30, 45, 123456, tzinfo=UTC)
ZERO = "0001-01-01T00:00:00Z"
FAR = "2126-08-06T12:30:45Z"
CLAIMS = (
    '{"userID":"u","username":"n","preferredUsername":"p","email":"e",'
    '"emailVerified":true}'
)
GROUPS = CLAIMS[:-1] + r',"groups":["a\u003cb\u003e"]}'

C1 = (
    r'{"id":"c1","idEnv":"","secret":"sec","secretEnv":"",'
    r'"redirectURIs":["https://a/cb?x=1\u0026y=2"],"postLogoutRedirectURIs":null,'
    r'"backchannelLogoutURI":"","refreshTokenLifetime":"","trustedPeers":null,'
    r'"public":false,"name":"App","logoURL":"","allowedConnectors":null,'
    r'"mfaChain":null,"ssoSharedWith":null}'
)
C2 = (
    '{"id":"c2","idEnv":"","secret":"","secretEnv":"","redirectURIs":null,'
    '"postLogoutRedirectURIs":null,"backchannelLogoutURI":"",'
    '"refreshTokenLifetime":"session","trustedPeers":null,"public":true,'
    '"name":"Pub","logoURL":"","allowedConnectors":["x"],"mfaChain":[],'
    '"ssoSharedWith":[],"clientCredentialsClaims":{"groups":["machines"]}}'
)
BARE_CLIENT = (
    '{"id":"c1","idEnv":"","secret":"","secretEnv":"","redirectURIs":null,'
    '"postLogoutRedirectURIs":null,"backchannelLogoutURI":"",'
    '"refreshTokenLifetime":"","trustedPeers":null,"public":false,"name":"",'
    '"logoURL":"","allowedConnectors":null,"mfaChain":null,"ssoSharedWith":null}'
)
REQUEST = (
    '{"id":"a1","client_id":"c1","response_types":["code"],"scopes":["openid"],'
    '"redirect_uri":"https://a/cb","nonce":"n","state":"s",'
    f'"force_approval_prompt":false,"expiry":"{FAR}","logged_in":true,'
    f'"claims":{GROUPS},"connector_id":"ldap","connector_data":"e30=",'
    '"code_challenge":"12345","code_challenge_method":"S256","hmac_key":"aw==",'
    '"mfa_validated":false,"webauthn_session_data":"e30=","prompt":"login",'
    f'"max_age":3600,"auth_time":"{TIME}"}}'
)
NEW_REQUEST = (
    '{"id":"a2","client_id":"c1","response_types":["code"],"scopes":null,'
    '"redirect_uri":"","nonce":"","state":"","force_approval_prompt":false,'
    f'"expiry":"{FAR}","logged_in":false,"claims":{CLAIMS},"connector_id":"",'
    '"connector_data":null,"hmac_key":null,"mfa_validated":false,"max_age":-1,'
    f'"auth_time":"{ZERO}"}}'
)
CODE = (
    '{"ID":"k1","clientID":"c1","redirectURI":"https://a/cb","nonce":"n",'
    '"scopes":["openid"],"connectorID":"ldap","connectorData":"e30=",'
    f'"claims":{GROUPS},"expiry":"{FAR}","code_challenge":"12345",'
    f'"code_challenge_method":"S256","auth_time":"{TIME}","session_id":"s1"}}'
)
BARE_CODE = (
    f'{{"ID":"k2","clientID":"c1","redirectURI":"","claims":{CLAIMS},'
    f'"expiry":"{FAR}","auth_time":"{ZERO}"}}'
)
TOKEN = (
    f'{{"id":"r1","token":"t","obsolete_token":"","created_at":"{TIME}",'
    f'"last_used":"{TIME}","client_id":"c1","connector_id":"ldap",'
    f'"connector_data":null,"claims":{CLAIMS},"scopes":["openid"],"nonce":""}}'
)
PASSWORD = (
    '{"email":"Jane@Example.com","hash":"JDJ5JDEw","hashFromEnv":"",'
    '"username":"jane","name":"Jane","preferredUsername":"j",'
    '"emailVerified":false,"userID":"1","groups":["staff"]}'
)
BARE_PASSWORD = (
    '{"email":"john@example.com","hash":"JDJ5JDEw","hashFromEnv":"",'
    '"username":"john","name":"","preferredUsername":"","userID":"2","groups":null}'
)
OFFLINE = (
    '{"user_id":"U","conn_id":"LDAP","refresh":{"c1":{"ID":"r1","ClientID":"c1",'
    f'"CreatedAt":"{TIME}","LastUsed":"{TIME}","SessionID":"s1"}}}},'
    '"connectorData":"e30="}'
)
BARE_OFFLINE = '{"user_id":"v","conn_id":"ldap"}'
CONNECTOR = '{"id":"x","type":"","name":"","resourceVersion":"","email":"e30="}'
LIMITED_CONNECTOR = (
    '{"id":"y","type":"oidc","name":"Y","resourceVersion":"3","email":null,'
    '"grantTypes":["refresh_token"]}'
)
KEYS = (
    '{"SigningKey":{"use":"sig","kty":"EC","kid":"k","crv":"P-256","d":"Qw"},'
    '"SigningKeyPub":{"use":"sig","kty":"EC","kid":"k","crv":"P-256"},'
    '"VerificationKeys":[{"publicKey":{"use":"sig","kty":"EC","kid":"kid1",'
    '"crv":"P-256","alg":"ES256","x":"QQ","y":"Qg"},'
    f'"expiry":"{FAR}"}}],"NextRotation":"{TIME}"}}'
)
DEVICE_REQUEST = (
    '{"user_code":"BCDF-GHJK","device_code":"d","client_id":"c1",'
    f'"client_secret":"x","scopes":["openid"],"expiry":"{FAR}"}}'
)
DEVICE_TOKEN = (
    r'{"device_code":"d","status":"complete","token":"{\n  \"access_token\": \"x\"\n}",'
    f'"expiry":"{FAR}","last_request":"{TIME}","poll_interval":5,'
    '"code_challenge_method":"plain"}'
)
IDENTITY = (
    f'{{"user_id":"u","connector_id":"ldap","claims":{CLAIMS},'
    '"consents":{"c1":["openid","email"]},"mfa_secrets":{"totp-1":'
    '{"authenticatorID":"totp-1","type":"TOTP","secret":"otpauth://totp/x",'
    f'"confirmed":false,"createdAt":"{TIME}"}}}},"webauthn_credentials":{{"wa":['
    '{"credentialID":"AQL/","publicKey":"Aw==","attestationType":"none",'
    '"aaguid":"AAAAAAAAAAAAAAAAAAAAAA==","signCount":5,"cloneWarning":false,'
    '"transport":["usb"],"backupEligible":false,"backupState":false,'
    f'"displayName":"Security Key","createdAt":"{TIME}"}}]}},'
    f'"created_at":"{TIME}","last_login":"{TIME}","blocked_until":"{ZERO}"}}'
)
SESSION = (
    '{"id":"s1","secret":"x","user_id":"u","connector_id":"ldap",'
    f'"client_states":{{"c1":{{"AuthenticatedAt":"{TIME}","LastActivity":"{TIME}",'
    f'"LastTokenIssuedAt":"{ZERO}","ViaSSO":false}}}},"created_at":"{TIME}",'
    f'"last_activity":"{TIME}","ip_address":"::1","user_agent":"B",'
    f'"absolute_expiry":"{FAR}","idle_expiry":"{FAR}","logout_state":'
    '{"PostLogoutRedirectURI":"https://x","State":"st","ClientID":"c1",'
    '"ConnectorID":"ldap"}}'
)
BARE_SESSION = (
    f'{{"id":"s2","created_at":"{TIME}","last_activity":"{TIME}",'
    f'"absolute_expiry":"{FAR}","idle_expiry":"{FAR}"}}'
)

#: Key, document, collection, the record's key, and a change: the field, its value, and
#: what is replaced in the document by what.
GOLDEN: list[tuple[str, str, str, tuple[str, ...], tuple[str, Any, str, str]]] = [
    ("client/c1", C1, "clients", ("c1",), ("logo_url", "x", 'URL":""', 'URL":"x"')),
    (
        "client/c1",
        BARE_CLIENT,
        "clients",
        ("c1",),
        ("mfa_chain", (), 'n":null,"ss', 'n":[],"ss'),
    ),
    (
        "client/c2",
        C2,
        "clients",
        ("c2",),
        ("mfa_chain", None, 'n":[],"ss', 'n":null,"ss'),
    ),
    (
        "auth_req/a1",
        REQUEST,
        "auth_requests",
        ("a1",),
        (
            "pkce",
            PKCE(),
            '"code_challenge":"12345","code_challenge_method":"S256",',
            "",
        ),
    ),
    (
        "auth_req/a2",
        NEW_REQUEST,
        "auth_requests",
        ("a2",),
        ("logged_in", True, 'in":false', 'in":true'),
    ),
    (
        "auth_code/k1",
        CODE,
        "auth_codes",
        ("k1",),
        ("connector_data", b"", '"connectorData":"e30=",', ""),
    ),
    (
        "auth_code/k2",
        BARE_CODE,
        "auth_codes",
        ("k2",),
        ("session_id", "s", '"}', '","session_id":"s"}'),
    ),
    (
        "refresh_token/r1",
        TOKEN,
        "refresh_tokens",
        ("r1",),
        ("token", "n", '"token":"t"', '"token":"n"'),
    ),
    (
        "password/jane@example.com",
        PASSWORD,
        "passwords",
        ("JANE@example.com",),
        ("email_verified", None, '"emailVerified":false,', ""),
    ),
    (
        "password/john@example.com",
        BARE_PASSWORD,
        "passwords",
        ("john@example.com",),
        ("email_verified", False, '"","userID"', '"","emailVerified":false,"userID"'),
    ),
    (
        "offline_session/u|ldap",
        OFFLINE,
        "offline_sessions",
        ("U", "LDAP"),
        ("connector_data", b"", ',"connectorData":"e30="', ""),
    ),
    (
        "offline_session/v|ldap",
        BARE_OFFLINE,
        "offline_sessions",
        ("v", "ldap"),
        ("connector_data", b"{}", "}", ',"connectorData":"e30="}'),
    ),
    (
        "connector/x",
        CONNECTOR,
        "connectors",
        ("x",),
        ("type", "oidc", '"type":""', '"type":"oidc"'),
    ),
    (
        "connector/y",
        LIMITED_CONNECTOR,
        "connectors",
        ("y",),
        ("config", b"{}", "null", '"e30="'),
    ),
    (
        "openid-connect-keys",
        KEYS,
        "keys",
        (),
        ("verification_keys", (), KEYS[KEYS.index("[") : KEYS.index("]") + 1], "null"),
    ),
    (
        "device_req/BCDF-GHJK",
        DEVICE_REQUEST,
        "device_requests",
        ("BCDF-GHJK",),
        ("client_secret", "", '"x"', '""'),
    ),
    (
        "device_token/d",
        DEVICE_TOKEN,
        "device_tokens",
        ("d",),
        ("poll_interval_seconds", 10, ":5", ":10"),
    ),
    (
        "user_identity/u|ldap",
        IDENTITY,
        "user_identities",
        ("u", "ldap"),
        ("consents", {}, '"consents":{"c1":["openid","email"]},', ""),
    ),
    (
        "auth_session/s1",
        SESSION,
        "auth_sessions",
        ("s1",),
        ("logout_state", None, SESSION[SESSION.index(',"logout_state') : -1], ""),
    ),
    (
        "auth_session/s2",
        BARE_SESSION,
        "auth_sessions",
        ("s2",),
        ("user_agent", "B", f'"{TIME}","abs', f'"{TIME}","user_agent":"B","abs'),
    ),
]
golden = pytest.mark.parametrize(
    ("place", "document", "collection", "key", "change"),
    GOLDEN,
    ids=[f"{one[0]}-{number}" for number, one in enumerate(GOLDEN)],
)


@pytest.fixture
async def storage(config: Etcd) -> AsyncIterator[EtcdStorage]:
    storage = await open_storage(config)
    yield storage
    await storage.close()


@golden
async def test_a_document_of_dex_is_read_and_written_back_as_it_was(
    storage: Storage,
    outside: Any,
    namespace: str,
    place: str,
    document: str,
    collection: str,
    key: tuple[str, ...],
    change: tuple[str, Any, str, str],
) -> None:
    outside.put(namespace + place, document.encode())
    records = getattr(storage, collection)
    record = await records.get(*key)
    assert await records.list() == [record]
    assert await records.take(*key) == record
    assert outside.get(namespace + place) is None
    await records.create(record)
    assert outside.get(namespace + place) == document.encode()
    assert outside.keys(namespace) == [namespace + place]


@golden
async def test_a_change_changes_nothing_else_in_the_document(
    storage: Storage,
    outside: Any,
    namespace: str,
    place: str,
    document: str,
    collection: str,
    key: tuple[str, ...],
    change: tuple[str, Any, str, str],
) -> None:
    field, value, before, after = change
    assert document.count(before) >= 1
    outside.put(namespace + place, document.encode())
    await getattr(storage, collection).update(
        *key, change=lambda old: attrs.evolve(old, **{field: value})
    )
    head, _, tail = document.rpartition(before)
    assert outside.get(namespace + place) == f"{head}{after}{tail}".encode()


async def test_fields_have_the_meaning_dex_gave_them(
    storage: Storage, outside: Any, namespace: str
) -> None:
    for place, document, *_ in GOLDEN:
        outside.put(namespace + place, document.encode())
    request = await storage.auth_requests.get("a1")
    assert (request.connector_data, request.hmac_key) == (b"{}", b"k")
    assert (request.pkce, request.max_age) == (PKCE("12345", "S256"), 3600)
    assert request.claims.groups == ("a<b>",)
    assert request.auth_time == MOMENT
    assert (await storage.connectors.get("x")).config == b"{}"
    assert (await storage.passwords.get("jane@example.com")).hash == b"$2y$10"
    assert (await storage.device_tokens.get("d")).poll_interval_seconds == 5
    assert (await storage.offline_sessions.get("v", "ldap")).refresh == {}
    session = await storage.auth_sessions.get("s1")
    assert session.client_states == {"c1": ClientAuthState(MOMENT, MOMENT)}
    assert (await storage.keys.get()).next_rotation == MOMENT


async def test_what_a_newer_dex_wrote_and_what_we_do_not_have_stays(
    storage: Storage, outside: Any, namespace: str
) -> None:
    document = BARE_CLIENT.replace('"idEnv":""', '"idEnv":"ID"')
    document = document[:-1] + r',"future":{"a":"\u003c1\u003e"}}'
    outside.put(f"{namespace}client/c1", document.encode())
    changed = await storage.clients.update(
        "c1", change=lambda old: attrs.evolve(old, name="new")
    )
    assert changed.name == "new"
    expected = document.replace('"name":""', '"name":"new"')
    assert outside.get(f"{namespace}client/c1") == expected.encode()


async def test_our_own_records_are_where_dex_does_not_look(
    storage: Storage, outside: Any, namespace: str
) -> None:
    await storage.revocations.create(Revocation("1-jti", MOMENT))
    assert outside.keys(namespace) == [f"{namespace}dexcore/revocation/1-jti"]


async def test_without_a_namespace_the_keys_are_dexs_alone(
    config: Etcd, outside: Any, namespace: str
) -> None:
    storage = await open_storage(attrs.evolve(config, namespace=""))
    name = namespace.strip("/")
    await storage.clients.create(Client(f"bare-{name}"))
    await storage.connectors.create(Connector(f"bare-{name}"))
    assert outside.get(f"client/bare-{name}") is not None
    assert outside.get(f"connector/bare-{name}") is not None
    await storage.close()


async def test_an_email_is_kept_as_it_was_written_under_a_key_in_lower_case(
    storage: Storage, outside: Any, namespace: str
) -> None:
    email = "\N{GREEK CAPITAL LETTER SIGMA}.İ.Jane@Example.com"
    await storage.passwords.create(Password(email))
    # Go folds character by character: no final sigma, no combining dot.
    assert outside.keys(f"{namespace}password/") == [
        f"{namespace}password/\N{GREEK SMALL LETTER SIGMA}.i.jane@example.com"
    ]
    assert (await storage.passwords.list())[0].email == email


async def test_users_that_share_dexs_key_do_not_get_each_others_record(
    storage: Storage, outside: Any, namespace: str
) -> None:
    pairs = [("u", "ldap"), ("U", "ldap"), ("u", "LDAP")]
    for number, pair in enumerate(pairs):
        data = f"{number}".encode()
        await storage.offline_sessions.create(
            OfflineSessions(*pair, connector_data=data)
        )
    assert outside.keys(f"{namespace}offline_session/") == [
        f"{namespace}offline_session/u|ldap"
    ]
    listed = await storage.offline_sessions.list()
    assert [(one.user_id, one.conn_id) for one in listed] == sorted(pairs)
    page = await storage.offline_sessions.list(after=("U", "ldap"), limit=1)
    assert page == [listed[1]]
    for pair in pairs:
        await storage.offline_sessions.update(
            *pair,
            change=lambda old: attrs.evolve(
                old, connector_data=old.connector_data + b"!"
            ),
        )
    for number, pair in enumerate(pairs):
        taken = await storage.offline_sessions.take(*pair)
        assert taken.connector_data == f"{number}!".encode()
        assert await storage.offline_sessions.find(*pair) is None
    assert outside.keys(namespace) == []


async def test_a_user_stays_where_it_is_when_dexs_key_becomes_free(
    storage: Storage, outside: Any, namespace: str
) -> None:
    for user in ("u", "U"):
        await storage.user_identities.create(UserIdentity(user, "ldap"))
    await storage.user_identities.delete("u", "ldap")
    assert await storage.user_identities.get("U", "ldap") == UserIdentity("U", "ldap")
    with pytest.raises(StorageError):
        await storage.user_identities.create(UserIdentity("U", "ldap"))
    await storage.user_identities.create(UserIdentity("u", "ldap"))
    assert len(await storage.user_identities.list()) == 2
    assert len(outside.keys(f"{namespace}user_identity/")) == 1


async def test_a_session_of_an_older_dex_is_not_found_and_not_in_the_way(
    storage: Storage, outside: Any, namespace: str
) -> None:
    document = BARE_SESSION.replace('"id":"s2"', '"user_id":"u","connector_id":"c"')
    outside.put(f"{namespace}auth_session/u|c", document.encode())
    assert await storage.auth_sessions.find("u|c") is None
    assert await storage.auth_sessions.find("") is None
    assert await storage.auth_sessions.list() == []
    await storage.auth_sessions.create(AuthSession("s"))
    assert await storage.auth_sessions.list() == [AuthSession("s")]


@pytest.mark.parametrize(
    "document", [b"", b"{", b"[]", b'{"id":7}', b'{"id":"c1","public":"yes"}']
)
async def test_a_damaged_document_is_a_storage_error(
    storage: Storage, outside: Any, namespace: str, document: bytes
) -> None:
    outside.put(f"{namespace}client/c1", document)
    with pytest.raises(StorageError, match="client"):
        await storage.clients.get("c1")
