"""One record of each kind with every field set, another beside it, and a change.

Times have milliseconds, which every database keeps.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from ..oauth2.extras import Extras
from ..storage import (
    PKCE,
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
    OfflineSessions,
    ParkedForm,
    Password,
    RefreshToken,
    RefreshTokenRef,
    RegisteredClient,
    Replay,
    Revocation,
    SharedSecret,
    SpentCode,
    Supplement,
    UpcomingKey,
    UserIdentity,
    VerificationKey,
    WebAuthnCredential,
    kind_of,
)

NOW = datetime(2026, 8, 6, 12, 30, 45, 123000, tzinfo=UTC)
LATER = NOW + timedelta(days=36500, milliseconds=877)
CLAIMS = Claims(
    user_id="1",
    username="jane",
    preferred_username="Jane",
    email="jane@example.com",
    email_verified=True,
    groups=("a", "b & c", "<d>", "é\u2028"),
)
OTHER_CLAIMS = Claims(user_id="2", username="john", groups=("x",))
CHALLENGE = PKCE("12345", "S256")
_JWK = {"use": "sig", "kty": "EC", "kid": "kid1", "crv": "P-256", "x": "QQ", "y": "Qg"}


@attrs.frozen
class Sample:
    """``second`` is ``None`` for a kind of which there is only one record."""

    first: Any
    second: Any
    changes: dict[str, Any]

    def change(self, record: Any) -> Any:
        """Return *record* changed."""
        return attrs.evolve(record, **self.changes)

    @property
    def changed(self) -> Any:
        """The first record after the change."""
        return self.change(self.first)


def _evolved(record: Any, changes: dict[str, Any], **second: Any) -> Sample:
    return Sample(record, attrs.evolve(record, **second), changes)


SAMPLES: dict[str, Sample] = {
    "client": _evolved(
        Client(
            id="client1",
            secret="foobar",
            redirect_uris=("https://a.example/cb?x=1&y=2", "http://127.0.0.1/"),
            post_logout_redirect_uris=("https://a.example/bye",),
            backchannel_logout_uri="https://a.example/logout",
            refresh_token_lifetime="session",
            trusted_peers=("peer",),
            public=True,
            name="An <app>",
            logo_url="https://a.example/logo.png",
            allowed_connectors=("ldap", "saml"),
            mfa_chain=("totp",),
            sso_shared_with=("*",),
            client_credentials_claims=ClientCredentialsClaims(("machines",)),
        ),
        {
            "secret": "barfoo",
            "refresh_token_lifetime": "",
            "client_credentials_claims": ClientCredentialsClaims(("robots",)),
        },
        id="client2",
        public=False,
        client_credentials_claims=None,
    ),
    "auth_request": _evolved(
        AuthRequest(
            id="request1",
            client_id="client1",
            response_types=("code", "id_token"),
            scopes=("openid", "email"),
            redirect_uri="https://a.example/cb",
            nonce="nonce",
            state="state",
            force_approval_prompt=True,
            prompt="login",
            max_age=3600,
            auth_time=NOW,
            expiry=LATER,
            logged_in=True,
            claims=CLAIMS,
            connector_id="ldap",
            connector_data=b'{"some":"data"}',
            pkce=CHALLENGE,
            hmac_key=b"hmac\x00key\xff",
            mfa_validated=True,
            webauthn_session_data=b"{}",
        ),
        {"claims": OTHER_CLAIMS, "connector_id": "saml", "logged_in": False},
        id="request2",
    ),
    "auth_code": _evolved(
        AuthCode(
            id="code1",
            client_id="client1",
            redirect_uri="https://a.example/cb",
            nonce="nonce",
            scopes=("openid", "email"),
            connector_id="ldap",
            connector_data=b'{"some":"data"}',
            claims=CLAIMS,
            expiry=LATER,
            session_id="session1",
            auth_time=NOW,
            pkce=CHALLENGE,
        ),
        {"nonce": "other"},
        id="code2",
    ),
    "refresh_token": _evolved(
        RefreshToken(
            id="refresh1",
            client_id="client1",
            token="secret",
            obsolete_token="before",
            created_at=NOW,
            last_used=NOW,
            connector_id="ldap",
            connector_data=b'{"some":"data"}',
            claims=CLAIMS,
            scopes=("openid", "offline_access"),
            nonce="nonce",
        ),
        {"token": "new", "obsolete_token": "secret", "last_used": LATER},
        id="refresh2",
        obsolete_token="",
        connector_data=b"",
    ),
    "password": _evolved(
        Password(
            email="jane@example.com",
            hash=b"$2y$10$33EMT0cVYVlPy6WAMCLsceLYjWhuHpbz5yuZxu/GAFj03J9Lytjuy",
            username="jane",
            name="Jane Doe",
            preferred_username="j",
            email_verified=True,
            user_id="1",
            groups=("staff",),
        ),
        {"username": "jdoe", "email_verified": None},
        email="john@example.com",
        email_verified=False,
        groups=(),
    ),
    "keys": Sample(
        Keys(
            signing_key={**_JWK, "d": "Qw"},
            signing_key_pub=_JWK,
            verification_keys=(VerificationKey(_JWK, LATER),),
            next_rotation=LATER,
        ),
        None,
        {"next_rotation": NOW, "verification_keys": ()},
    ),
    "offline_session": _evolved(
        OfflineSessions(
            user_id="1",
            conn_id="ldap",
            refresh={
                "client1": RefreshTokenRef("refresh1", "client1", NOW, LATER, "s1"),
                "a": RefreshTokenRef("refresh2", "a"),
            },
            connector_data=b'{"some":"data"}',
        ),
        {"refresh": {"b": RefreshTokenRef("refresh3", "b", NOW)}},
        user_id="2",
        refresh={},
        connector_data=b"",
    ),
    "connector": _evolved(
        Connector(
            id="ldap",
            type="ldap",
            name="The directory",
            resource_version="1",
            config=b'{"host":"ldap.example:636"}',
            grant_types=("authorization_code", "password"),
        ),
        {"type": "oidc", "grant_types": ("refresh_token",)},
        id="saml",
        grant_types=(),
    ),
    "device_request": _evolved(
        DeviceRequest(
            user_code="BCDF-GHJK",
            device_code="device1",
            client_id="client1",
            client_secret="secret",
            scopes=("openid",),
            expiry=LATER,
        ),
        {"client_secret": ""},
        user_code="XXXX-XXXX",
    ),
    "device_token": _evolved(
        DeviceToken(
            device_code="device1",
            status="authorization_pending",
            token="",
            expiry=LATER,
            last_request=NOW,
            poll_interval_seconds=5,
            pkce=CHALLENGE,
        ),
        {"status": "complete", "token": '{"access_token": "<&>"}'},
        device_code="device2",
    ),
    "user_identity": _evolved(
        UserIdentity(
            user_id="1",
            connector_id="ldap",
            claims=CLAIMS,
            consents={"client1": ("email",), "a": ()},
            mfa_secrets={
                "totp-1": MFASecret(
                    "totp-1", "TOTP", "otpauth://totp/x?a=b&c=d", True, NOW, 7
                )
            },
            webauthn_credentials={
                "wa": (
                    WebAuthnCredential(
                        credential_id=b"\x01\x02\xff",
                        public_key=b"\x03",
                        attestation_type="none",
                        aaguid=bytes(16),
                        sign_count=5,
                        clone_warning=True,
                        transport=("usb", "nfc"),
                        backup_eligible=True,
                        backup_state=True,
                        display_name="Security Key",
                        created_at=NOW,
                    ),
                )
            },
            created_at=NOW,
            last_login=NOW,
            blocked_until=LATER,
        ),
        {"consents": {"client2": ("openid", "email")}, "last_login": LATER},
        user_id="2",
        consents={},
        mfa_secrets={},
        webauthn_credentials={},
    ),
    "auth_session": _evolved(
        AuthSession(
            id="session1",
            secret="secret",
            user_id="1",
            connector_id="ldap",
            client_states={"client1": ClientAuthState(NOW, LATER, NOW, True)},
            created_at=NOW,
            last_activity=NOW,
            ip_address="2001:db8::1",
            user_agent="Browser/1.0",
            absolute_expiry=LATER,
            idle_expiry=LATER,
            logout_state=LogoutState("https://a.example/bye", "st", "client1", "ldap"),
        ),
        {
            "client_states": {
                "client1": ClientAuthState(NOW, LATER),
                "client2": ClientAuthState(NOW, NOW),
            },
            "last_activity": LATER,
            "idle_expiry": LATER + timedelta(hours=1),
            "logout_state": None,
        },
        id="session2",
        client_states={},
        logout_state=None,
    ),
    "shared_secret": _evolved(
        SharedSecret("cookies", b"\x00\x01\xfe\xff", NOW),
        {"value": b"\x02"},
        name="tokens",
    ),
    "upcoming_key": _evolved(
        UpcomingKey("next", {**_JWK, "d": "Qw"}, NOW),
        {"published_at": LATER},
        slot="other",
    ),
    "spent_code": _evolved(
        SpentCode(
            id="code1",
            client_id="client1",
            handle="handle",
            user_id="1",
            connector_id="ldap",
            refresh_id="refresh1",
            pkce=CHALLENGE,
            expiry=LATER,
        ),
        {"refresh_id": "", "pkce": PKCE()},
        id="code2",
    ),
    "revocation": _evolved(
        Revocation("019876543210-jti1", LATER),
        {"expiry": LATER + timedelta(hours=1)},
        id="019876543211-jti1",
    ),
    "parked_form": _evolved(
        ParkedForm("form1", {"SAMLResponse": "PHg+&<é>", "a": ""}, LATER),
        {"fields": {}},
        id="form2",
    ),
    "replay": _evolved(
        Replay("message1", LATER), {"expiry": NOW + timedelta(days=1)}, id="message2"
    ),
    "supplement": _evolved(
        Supplement(
            "code1",
            Extras(
                response_mode="form_post",
                claims={"id_token": {"acr": {"values": ["é&<", "b"]}, "email": None}},
                resources=("https://api.example.com/?a=1&b=2",),
                amr=("pwd", "otp"),
                user={"address": {"country": "DE"}, "updated_at": 1},
            ),
            LATER,
        ),
        {"extras": Extras(dpop_jkt="thumbprint")},
        id="code2",
    ),
    "registered_client": _evolved(
        RegisteredClient(
            "client1", {"client_name": "é&<", "jwks": {"keys": []}}, "digest", "", NOW
        ),
        {"token_digest": "other", "registrar": "one", "expiry": LATER},
        id="client2",
    ),
}


def expiring(kind: str, time: datetime) -> Any:
    """Return a record of *kind* that expires at *time*."""
    record = SAMPLES[kind].first
    fields = kind_of(type(record)).expiry
    return attrs.evolve(record, **dict.fromkeys(fields, time))
