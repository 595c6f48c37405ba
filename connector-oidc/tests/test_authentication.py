"""How we prove to the provider who we are."""

import base64
import json

import pytest

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from dexcore.errors import AccessDenied, UpstreamError
from dexcore.jose import SigningKey, generate
from dexcore.jose.keys import private_key_of
from dexcore.options import InvalidOption

BASIC, FORM, JWT = "client_secret_basic", "client_secret_post", "private_key_jwt"
ADVERTISED = "token_endpoint_auth_methods_supported"


def proof(seen):
    if "Authorization" in seen.headers:
        return BASIC
    if "client_assertion" in seen.form:
        return JWT
    return FORM if "client_secret" in seen.form else "none"


@pytest.mark.parametrize(
    ("taken", "advertised", "tried"),
    [
        ([BASIC], None, [BASIC]),
        ([BASIC], [BASIC], [BASIC]),
        ([BASIC], [FORM, BASIC], [BASIC]),
        ([FORM], [FORM], [FORM]),
        # It advertises what this client may not.
        ([FORM], [BASIC, FORM], [BASIC, FORM]),
        ([FORM], None, [BASIC, FORM]),
        ([FORM], ["tls_client_auth"], [BASIC, FORM]),
    ],
    ids=str,
)
async def test_the_secret_goes_as_the_provider_takes_it(
    way_of, provider, taken, advertised, tried
):
    provider.metadata_changes[ADVERTISED] = advertised
    provider.add_client("dexcore", "secret", auth=taken)
    way = await way_of()
    await way.log_in()
    await way.log_in()
    # What it took once comes first the next time.
    assert [proof(each) for each in provider.asked("/token")] == [*tried, *taken]


@pytest.mark.parametrize("unsupported", [True, False])
async def test_the_file_may_say_that_it_goes_in_the_form(way_of, provider, unsupported):
    way = await way_of(basicAuthUnsupported=unsupported)
    await way.log_in()
    [asked] = provider.asked("/token")
    assert proof(asked) == (FORM if unsupported else BASIC)


async def test_a_form_that_is_refused_is_not_tried_as_a_header(way_of, provider):
    provider.add_client("dexcore", "secret", auth=[BASIC])
    way = await way_of(basicAuthUnsupported=True)
    with pytest.raises(UpstreamError, match="invalid_client"):
        await way.log_in()
    assert len(provider.asked("/token")) == 1


async def test_a_secret_that_is_wrong_is_the_operators_to_correct(way_of):
    way = await way_of(clientSecret="wrong")
    with pytest.raises(UpstreamError, match="invalid_client") as failed:
        await way.log_in()
    assert "wrong" not in str(failed.value)


async def test_a_code_that_was_looked_at_is_not_sent_again(way, provider):
    brought = await way.go(await way.begin())
    await way.finish(brought)
    before = len(provider.asked("/token"))
    with pytest.raises(AccessDenied, match="start again"):
        await way.finish(brought)
    assert len(provider.asked("/token")) == before + 1


@pytest.mark.parametrize("client_id", ["a b", "a:b", "ä", "a%20b", "a+b"])
async def test_names_and_secrets_are_encoded_in_the_header(way_of, provider, client_id):
    provider.add_client(client_id, "s :%+ä", auth=[BASIC])
    way = await way_of(clientID=client_id, clientSecret="s :%+ä")
    assert (await way.log_in()).user_id == "id-of-jane"


async def test_a_client_without_a_secret_only_names_itself(way_of, provider):
    provider.add_client("public", "")
    provider.requires_pkce = True
    way = await way_of(clientID="public", clientSecret="")
    assert (await way.log_in()).user_id == "id-of-jane"
    [asked] = provider.asked("/token")
    assert (proof(asked), asked.form["client_id"]) == ("none", "public")


# — a key ------------------------------------------------------------------------------


def pem(jwk):
    key = private_key_of(jwk)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("written", ["file", "text", "jwk", "jwk file"])
async def test_a_key_stands_in_for_the_secret(
    way_of, provider, tmp_path, algorithm, written
):
    jwk = generate(algorithm)
    text = json.dumps(jwk) if written.startswith("jwk") else pem(jwk).decode()
    if written.endswith("file"):
        (tmp_path / "key").write_text(text)
        text = str(tmp_path / "key")
    way = await way_of(clientSecret="", clientAssertionKey=text)
    published = await way.connector.metadata("")
    assert published.content_type == "application/jwk-set+json"
    provider.add_client("dexcore", "", auth=[JWT], jwks=json.loads(published.body))
    # Each assertion counts once.
    for _ in range(2):
        assert (await way.log_in()).user_id == "id-of-jane"
    assert [proof(each) for each in provider.asked("/token")] == [JWT, JWT]


async def test_only_the_public_half_is_published(way_of):
    way = await way_of(
        clientSecret="", clientAssertionKey=json.dumps(generate("ES256"))
    )
    [key] = json.loads((await way.connector.metadata("")).body)["keys"]
    assert key.keys() == {"use", "kty", "kid", "crv", "alg", "x", "y"}


async def test_without_a_key_none_is_published(way):
    assert json.loads((await way.connector.metadata("")).body) == {"keys": []}


async def test_a_key_without_a_name_is_named_after_itself(way_of):
    jwk = {**generate("ES256")}
    del jwk["kid"]
    way = await way_of(clientSecret="", clientAssertionKey=json.dumps(jwk))
    assert len(way.connector.calls.authentication.key.kid) == 43


@pytest.mark.parametrize(
    "written", ["/nowhere.pem", "{}", "[]", '{"kty":"oct","k":"AAAA"}', "\0"]
)
async def test_a_key_that_is_none_is_a_mistake_of_the_file(open_connector, written):
    with pytest.raises(InvalidOption, match="clientAssertionKey") as told:
        await open_connector(clientSecret="", clientAssertionKey=written)
    assert told.value.remedy


async def test_a_key_of_somebody_else_is_refused(way_of, provider):
    way = await way_of(
        clientSecret="", clientAssertionKey=json.dumps(generate("ES256"))
    )
    stranger = SigningKey.load(generate("ES256"))
    provider.add_client("dexcore", "", jwks={"keys": [dict(stranger.public)]})
    with pytest.raises(UpstreamError):
        await way.log_in()


async def test_an_assertion_says_what_it_must(way_of, provider):
    key = generate("ES256")
    way = await way_of(clientSecret="", clientAssertionKey=json.dumps(key))
    public = [dict(SigningKey.load(key).public)]
    provider.add_client("dexcore", "", jwks={"keys": public})
    await way.log_in()
    [asked] = provider.asked("/token")
    payload = asked.form["client_assertion"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["aud"] == f"{provider.issuer}/token"
    assert claims["exp"] - claims["iat"] == 60
    assert claims.keys() == {"iss", "sub", "aud", "jti", "iat", "exp"}
