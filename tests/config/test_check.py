"""``check``: what is wrong or unwise beyond what stops the server."""

from __future__ import annotations

import json

from pathlib import Path
from typing import Any

import pytest

from dexcore.config import reads
from dexcore.config.check import check, check_reading, render_json, render_text

GOOD = Path(__file__).parent / "good"
HASH = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
BASE = """\
issuer: http://127.0.0.1:5556/dex
storage: {type: sqlite3, config: {file: dex.db}}
web: {http: 127.0.0.1:5556}
enablePasswordDB: true
"""
CRUD = {"DEX_API_CONNECTORS_CRUD": "true"}
SESSIONS = {"DEX_SESSIONS_ENABLED": "true"}


def found(text: str, environ: dict[str, str] | None = None, plugins: Any = None) -> Any:
    reading = reads(text, name="dex.yaml", environ=environ or {})
    return check_reading(reading, plugins)


def client(**more: object) -> str:
    entry = {
        "id": "app",
        "name": "App",
        "secret": "0123456789abcdef",
        "redirectURIs": ["https://app.example.com/cb"],
        **more,
    }
    return f"staticClients: {json.dumps([entry])}\n"


def test_an_issuer_speaks_of_a_connector_that_is_there() -> None:
    [problem] = found(
        BASE + "oauth2: {jwtBearer: {trustedIssuers: [{issuer: 'https://a.example', "
        "connectorID: locale}]}}\n"
    )
    assert str(problem).startswith('dex.yaml:5:82: error: there is no connector "loc')


def test_a_sensible_file_has_no_findings(plugins: Any) -> None:
    assert found(BASE + client(), plugins=plugins) == []


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    [problem] = check(tmp_path / "dex.yaml", environ={})
    assert problem.severity == "error"


def test_a_file_that_is_not_yaml_is_one_finding() -> None:
    [problem] = found("issuer: [")
    assert "not YAML" in problem.message


JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
UNWISE = {
    "an-issuer-for-no-client": (
        BASE + "oauth2: {jwtBearer: {trustedIssuers: [{issuer: 'https://a.example', "
        "connectorID: local, clients: [ape]}]}}\n" + client(),
        "5:99",
        'no static client has the id "ape"',
        "app",
    ),
    "a-resource-of-no-client": (
        BASE + "resources: [{id: 'urn:api', servers: [ape]}]\n" + client(),
        "5:39",
        'no static client has the id "ape"',
        "app",
    ),
    "trusting-nobody": (
        BASE + f"oauth2: {{grantTypes: [authorization_code, '{JWT_BEARER}']}}\n",
        "5:43",
        "the grant jwt-bearer is off",
        "trustedIssuers",
    ),
    "trusting-somebody-in-vain": (
        BASE + "oauth2: {grantTypes: [authorization_code], jwtBearer: {trustedIssuers: "
        "[{issuer: 'https://a.example', connectorID: local}]}}\n",
        "5:44",
        "jwtBearer has no effect",
        JWT_BEARER,
    ),
    "http-issuer": (
        BASE.replace("127.0.0.1:5556/dex", "id.example.com"),
        "1:9",
        "the issuer is http",
        "https",
    ),
    "plain-listener": (
        BASE.replace("http://127.0.0.1:5556/dex", "https://id.example.com").replace(
            "{http: 127.0.0.1:5556}", "{http: '0.0.0.0:5556'}"
        ),
        "3:13",
        "plain http to everybody",
        "trustedProxies",
    ),
    "memory-storage": (
        BASE.replace("{type: sqlite3, config: {file: dex.db}}", "{type: memory}"),
        "2:17",
        "forgets keys",
        "sqlite3",
    ),
    "every-origin": (
        BASE.replace("5556}", "5556, allowedOrigins: ['*']}"),
        "3:46",
        "scripts of every web site",
        "origins of your own",
    ),
    "implicit-flow": (
        BASE + "oauth2: {responseTypes: [code, id_token]}\n",
        "5:32",
        "into the address bar",
        "code with PKCE",
    ),
    "implicit-left-out": (
        BASE
        + "oauth2: {grantTypes: [authorization_code], "
        + "responseTypes: [code, id_token]}\n",
        "5:66",
        "grantTypes leaves implicit out",
        "Add implicit",
    ),
    "response-type-without-its-parts": (
        BASE + "oauth2: {responseTypes: [code, id_token token]}\n",
        "5:32",
        "part by part",
        "its parts too: id_token, token",
    ),
    "plain-pkce": (
        BASE + "oauth2: {pkce: {codeChallengeMethodsSupported: [plain, S256]}}\n",
        "5:49",
        "plain PKCE",
        "only S256",
    ),
    "password-grant": (
        BASE + "oauth2: {passwordConnector: local}\n",
        "5:29",
        "gives passwords to clients",
        "device grant",
    ),
    "password-grant-without-connector": (
        BASE + "oauth2: {grantTypes: [authorization_code, password]}\n",
        "5:43",
        "no connector checks passwords",
        "passwordConnector",
    ),
    "password-connector-without-grant": (
        BASE + "oauth2: {passwordConnector: local, grantTypes: [refresh_token]}\n",
        "5:29",
        "passwordConnector has no effect",
        "add password",
    ),
    "claims-of-a-public-client": (
        BASE
        + "oauth2: {grantTypes: [client_credentials]}\n"
        + "staticClients:\n"
        + "- {id: a, name: A, public: true, clientCredentialsClaims: {groups: [x]}}\n",
        "7:34",
        "a public client cannot log in as itself",
        "Give it a secret",
    ),
    "claims-of-a-grant-that-is-off": (
        BASE
        + "staticClients:\n- {id: a, name: A, secret: 0123456789abcdef, "
        + "clientCredentialsClaims: {groups: [x]}}\n",
        "6:46",
        "the grant client_credentials is off",
        "DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT",
    ),
    "open-api": (
        BASE + "grpc: {addr: '0.0.0.0:5557'}\n",
        "5:14",
        "may change clients and passwords",
        "tlsClientCA",
    ),
    "open-profiles": (
        BASE + "telemetry: {http: ':5558', enableProfiling: true}\n",
        "5:45",
        "profiles can be taken",
        "127.0.0.1",
    ),
    "short-secret": (
        BASE + client(secret="short"),
        "5:56",
        "shorter than 16 characters",
        "openssl",
    ),
    "readable-redirect": (
        BASE + client(redirectURIs=["http://app.example.com/cb"]),
        "5:93",
        "codes travel readable",
        "https",
    ),
    "client-nobody-can-come-back-to": (
        BASE + client(redirectURIs=[]),
        "5:76",
        "no redirectURIs",
        "redirectURIs:",
    ),
    "nobody-can-log-in": (
        BASE.replace("enablePasswordDB: true", ""),
        "1:1",
        "no way to log in",
        "enablePasswordDB",
    ),
    "unknown-peer": (
        BASE + client(trustedPeers=["ap"]),
        "5:141",
        'no static client has the id "ap"',
        "Did you mean app?",
    ),
    "unknown-session-partner": (
        BASE + client(ssoSharedWith=["*", "shop"]),
        "5:147",
        'no static client has the id "shop"',
        "Add it",
    ),
    "two-users-one-subject": (
        BASE
        + "staticPasswords:\n"
        + f"- {{email: a, userID: '1', hash: {HASH}}}\n"
        + f"- {{email: b, userID: '1', hash: {HASH}}}\n",
        "7:22",
        "has the same userID",
        "of their own",
    ),
    "unset-variable": (
        BASE.replace("dex.db", "$DATA/dex.db"),
        "2:41",
        "DATA is not set",
        "Set DATA",
    ),
    "deprecated-key": (
        BASE + "expiry: {signingKeys: 6h}\n",
        "5:23",
        "deprecated",
        "keysRotationPeriod",
    ),
    "header-without-proxy": (
        BASE.replace("5556}", "5556, clientRemoteIP: {header: X-Real-IP}}"),
        "3:54",
        "header is ignored",
        "trustedProxies",
    ),
    "signup-switched-off": (
        BASE + "signup: {type: default}\n",
        "5:1",
        "signup has no effect",
        "enableSignup: true",
    ),
}


@pytest.mark.parametrize(
    ("text", "place", "message", "remedy"), UNWISE.values(), ids=UNWISE.keys()
)
def test_an_unwise_choice_is_a_warning(
    text: str, place: str, message: str, remedy: str
) -> None:
    """T-DISC-04."""
    [problem] = found(text)
    assert str(problem).startswith(f"dex.yaml:{place}: warning: ")
    assert message in problem.message
    assert remedy in problem.remedy


def test_a_password_connector_that_does_not_serve_the_grant_is_a_warning() -> None:
    mock = "{type: mockPassword, id: pw, name: P, grantTypes: [refresh_token]}"
    oauth2 = "oauth2: {passwordConnector: pw}\n"
    problems = found(BASE + f"connectors: [{mock}]\n" + oauth2)
    [problem] = [each for each in problems if "does not serve" in each.message]
    assert "Add password to its grantTypes" in problem.remedy


def test_a_client_that_only_logs_in_as_itself_needs_no_redirect_uri() -> None:
    text = (
        BASE
        + "oauth2: {grantTypes: [client_credentials]}\n"
        + client(redirectURIs=[], clientCredentialsClaims={"groups": ["robots"]})
    )
    assert found(text) == []


def test_an_unencrypted_session_cookie_is_a_warning() -> None:
    [problem] = found(BASE + "sessions: {cookieName: dex}\n", SESSIONS)
    assert "not encrypted" in problem.message


def test_a_second_factor_for_a_connector_type_nobody_has_is_a_warning() -> None:
    factor = "{id: a, type: TOTP, connectorTypes: [lokal]}"
    [problem] = found(BASE + f"mfa: {{authenticators: [{factor}]}}\n", SESSIONS)
    assert "Did you mean local?" in problem.remedy


@pytest.mark.parametrize(
    "text",
    [
        client(allowedConnectors=["githup"]),
        "oauth2: {passwordConnector: githup, grantTypes: [authorization_code]}\n",
    ],
    ids=["allowedConnectors", "passwordConnector"],
)
def test_an_unknown_connector_is_an_error_unless_the_api_may_make_it(text: str) -> None:
    whole = BASE + "connectors: [{id: github, type: x, name: X}]\n" + text

    [problem] = found(whole)
    assert problem.severity == "error"
    assert "Did you mean github?" in problem.remedy
    assert [each.severity for each in found(whole, CRUD)] == ["warning"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (BASE.replace("sqlite3", "sqlite"), "2:17", 'storage type "sqlite"'),
        (BASE.replace("{file: dex.db}", "{}"), "2:26", '"file" is missing'),
        (BASE.replace("dex.db}", "dex.db, mode: slow}"), "2:55", '"slow" is not one'),
        (BASE + "signer: {type: vault}\n", "5:16", 'signer type "vault"'),
        (BASE + "connectors: [{id: a, type: b, name: c}]\n", "5:28", 'type "b"'),
        (BASE + "connectors: [{id: a, type: ldap, name: c}]\n", "5:14", '"host"'),
        (
            BASE + "connectors: [{id: a, type: faulty, name: c}]\n",
            "5:14",
            "could not be read: RuntimeError",
        ),
        (BASE + "enableSignup: true\nsignup: {type: ask}\n", "6:16", 'type "ask"'),
    ],
    ids=[
        "storage-type",
        "storage-option-missing",
        "storage-option-wrong",
        "signer-type",
        "connector-type",
        "connector-option-missing",
        "connector-that-fails",
        "signup-type",
    ],
)
def test_what_a_plugin_does_not_understand_is_an_error_with_its_place(
    text: str, place: str, message: str, plugins: Any
) -> None:
    [problem] = found(text, plugins=plugins)
    assert str(problem).startswith(f"dex.yaml:{place}: error: ")
    assert message in problem.message
    assert problem.remedy


def test_an_authenticator_nobody_offers_is_an_error(plugins: Any) -> None:
    text = BASE + "mfa: {authenticators: [{id: a, type: SMS}]}\n"
    [problem] = found(text, SESSIONS, plugins)
    assert 'authenticator type "SMS"' in problem.message


def test_an_unknown_option_of_a_plugin_is_a_warning(plugins: Any) -> None:
    [problem] = found(BASE.replace("dex.db}", "dex.db, moode: lazy}"), plugins=plugins)
    assert (problem.severity, problem.remedy) == ("warning", "Did you mean mode?")


def test_a_url_that_is_none_is_no_stumbling_block() -> None:
    text = BASE.replace("127.0.0.1:5556/dex", "[id") + client(
        redirectURIs=["http://[a"]
    )
    [problem] = found(text)
    assert "is not a URL" in problem.message


def test_a_static_password_with_two_hashes_is_a_warning() -> None:
    text = BASE + (
        "staticPasswords:\n"
        f"- {{email: a, userID: '1', hash: {HASH}, hashFromEnv: OTHER}}\n"
    )
    [problem] = found(text)
    assert "hashFromEnv is ignored" in problem.message


def test_errors_and_advice_come_together_in_the_order_of_the_file() -> None:
    problems = found(
        "issuer: http://id.example.com\nstorage: {type: memory}\nweb: {}\n"
        + client(secret="short", allowedConnectors=["x"])
    )
    assert [each.line for each in problems] == sorted(each.line for each in problems)
    assert {each.severity for each in problems} == {"error", "warning"}


def test_findings_are_rendered_for_people_and_for_programs() -> None:
    problems = found(BASE + "oauth2: {passwordConnector: local}\n")

    assert render_text(problems) == f"{problems[0]}\n"
    [told] = json.loads(render_json(problems))
    assert told == {
        "file": "dex.yaml",
        "line": 5,
        "column": 29,
        "severity": "warning",
        "message": problems[0].message,
        "remedy": problems[0].remedy,
    }
    assert json.loads(render_json([])) == []


@pytest.mark.parametrize("name", ["local", "everything"])
def test_good_files_have_no_errors(name: str, plugins: Any) -> None:
    environ = SESSIONS | {
        "PORTAL_ID": "portal",
        "PORTAL_SECRET": "0123456789abcdef",
        "ROOT_HASH": HASH,
    }
    problems = check(GOOD / f"{name}.yaml", None, environ=environ)
    assert [str(each) for each in problems if each.severity == "error"] == []
