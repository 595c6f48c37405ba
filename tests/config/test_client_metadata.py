"""What a file says about a client's metadata, and what it cannot mean."""

from __future__ import annotations

import pytest

from dexcore.config import ConfigProblems, loads
from dexcore.storage import Client, DescribedClient, metadata_of

BASE = """\
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
staticClients:
"""
JWK = "{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}"
KEYS = f"jwks: {{keys: [{JWK}]}}"
KEY_JWT = "token_endpoint_auth_method: private_key_jwt"
NONE = "token_endpoint_auth_method: none"
METHOD = "token_endpoint_auth_method"
ALG = "token_endpoint_auth_signing_alg"
PRIVATE = JWK.replace("}", ", d: nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A}")


def client_of(text: str) -> Client:
    return loads(f"{BASE}- {text}\n", name="dex.yaml").static_clients[0]


def test_a_client_with_keys_needs_no_secret() -> None:
    client = client_of(f"{{id: a, name: A, metadata: {{{KEY_JWT}, {KEYS}}}}}")
    assert isinstance(client, DescribedClient)
    assert client.secret == ""
    assert metadata_of(client).jwks["keys"][0]["kty"] == "OKP"


@pytest.mark.parametrize(
    "metadata",
    [
        f"{KEY_JWT}, jwks_uri: 'https://app.example/jwks', {ALG}: EdDSA",
        f"{KEY_JWT}, jwks_uri: 'http://127.0.0.1:5555/jwks'",
        "tokenEndpointAuthMethod: private_key_jwt, jwksURI: 'https://app.example/k'",
    ],
)
def test_keys_may_be_published(metadata: str) -> None:
    client = client_of(f"{{id: a, name: A, metadata: {{{metadata}}}}}")
    assert metadata_of(client).token_endpoint_auth_method == "private_key_jwt"


def test_a_client_with_a_secret_may_name_how_it_sends_it() -> None:
    method = "token_endpoint_auth_method: client_secret_post"
    client = client_of(f"{{id: a, secret: s, name: A, metadata: {{{method}}}}}")
    assert metadata_of(client).token_endpoint_auth_method == "client_secret_post"


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        (
            f"{{id: a, secret: s, name: A, "
            f"metadata: {{{METHOD}: ▶client_secret_jwt}}}}",
            'method "client_secret_jwt" is not supported',
            "client_secret_post",
        ),
        (
            f"{{id: a, name: A, metadata: {{{METHOD}: ▶private_key_jwt}}}}",
            "no keys to prove itself with",
            'Add "jwks"',
        ),
        (
            f"{{id: a, public: true, name: A, "
            f"metadata: {{{METHOD}: ▶private_key_jwt, {KEYS}}}}}",
            "is not a public one",
            'Remove "public: true"',
        ),
        (
            f"{{id: a, secret: ▶s, name: A, metadata: {{{KEY_JWT}, {KEYS}}}}}",
            "the secret is not used",
            "Remove it.",
        ),
        (
            f"{{id: a, secret: s, name: A, metadata: {{{METHOD}: ▶none}}}}",
            "must be public",
            '"public: true"',
        ),
        (
            f"{{id: a, secret: s, public: true, name: A, "
            f"metadata: {{{METHOD}: ▶none}}}}",
            "must prove itself with it",
            "Remove the secret",
        ),
        (
            f"{{id: a, public: true, name: A, "
            f"metadata: {{{METHOD}: ▶client_secret_basic}}}}",
            "has no secret",
            'write "none"',
        ),
        (
            f"{{id: a, name: A, metadata: {{{KEY_JWT}, {KEYS}, {ALG}: ▶HS256}}}}",
            'algorithm "HS256" is not supported',
            "RS256",
        ),
        (
            f"{{id: a, secret: s, name: A, metadata: {{{ALG}: ▶ES256}}}}",
            "there is no algorithm",
            "private_key_jwt",
        ),
        (
            f"{{id: a, name: A, "
            f"metadata: {{{KEY_JWT}, ▶jwks: {{keys: [{PRIVATE}]}}}}}}",
            "only public keys belong here",
            "public keys only",
        ),
        (
            f"{{id: a, name: A, metadata: {{{KEY_JWT}, ▶jwks: {{keys: []}}}}}}",
            "1 to 20 keys",
            "jwks_uri",
        ),
        (
            f"{{id: a, name: A, metadata: {{{KEY_JWT}, ▶jwks: {{kty: RSA}}}}}}",
            'needs a list of "keys"',
            "jwks_uri",
        ),
        (
            f"{{id: a, name: A, metadata: "
            f"{{{KEY_JWT}, {KEYS}, jwks_uri: ▶'https://app.example/k'}}}}",
            "exclude each other",
            "Keep one of them.",
        ),
        (
            f"{{id: a, name: A, metadata: "
            f"{{{KEY_JWT}, jwks_uri: ▶'http://app.example/k'}}}}",
            "no https address",
            "over https",
        ),
        (
            "{id: a, secret: s, name: A, metadata: {▶grant_types: [code]}}",
            'grant type "code" is not known',
            "implicit",
        ),
        (
            "{id: a, secret: s, name: A, metadata: {▶response_types: [codes]}}",
            'response type "codes" is not supported',
            "Did you mean code?",
        ),
        (
            "{id: a, secret: s, name: A, metadata: {scope: ▶openid mail}}",
            'scope "mail" is not known',
            "Did you mean email?",
        ),
        (
            "{id: a, secret: s, name: A, metadata: {tos_uri: ▶/terms}}",
            "no https address",
            "whole address",
        ),
        (
            "{id: a, secret: s, name: A, metadata: {default_max_age: ▶-1}}",
            "younger than now",
            "seconds",
        ),
        (
            "{id: a, secret: s, name: A, metadata: {▶token_endpoint_auth: none}}",
            '"token_endpoint_auth" is not known',
            "token_endpoint_auth_method",
        ),
    ],
)
def test_metadata_that_cannot_be_meant(text: str, message: str, remedy: str) -> None:
    before, _, after = f"{BASE}- {text}\n".partition("▶")
    with pytest.raises(ConfigProblems) as raised:
        loads(before + after, name="dex.yaml")
    [problem] = raised.value.problems
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert remedy in problem.remedy
    assert "nWGxne" not in str(problem)
