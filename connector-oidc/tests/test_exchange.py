"""Tokens of the provider are exchanged for ours, if they were meant for us."""

import pytest

from dexcore.errors import AccessDenied, NotInRequiredGroups, UpstreamError
from dexcore.testing.upstreams.openid import OpenIDProvider

ID = "urn:ietf:params:oauth:token-type:id_token"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture
def exchange(open_connector, provider):
    """Return what exchanges a token of Jane's, by these options."""
    provider.add_client("another")

    async def exchange(kind, token=None, *, client_id="dexcore", **options):
        name = "id_token" if kind == ID else "access_token"
        token = provider.tokens("jane", client_id)[name] if token is None else token
        connector = await open_connector(insecureEnableGroups=True, **options)
        return await connector.token_identity(kind, token)

    return exchange


async def test_an_id_token(exchange, provider):
    identity = await exchange(ID)
    assert (identity.user_id, identity.email) == ("id-of-jane", "jane@example.com")
    assert identity.groups == ("admins", "authors")
    assert identity.connector_data == b""
    assert not provider.asked("/userinfo")


async def test_an_access_token(exchange, provider):
    identity = await exchange(ACCESS, getUserInfo=True)
    assert identity.user_id == "id-of-jane"
    assert len(provider.asked("/introspect")) == 1


async def test_a_signed_access_token_says_itself_whom_it_is_for(exchange, provider):
    provider.jwt_access_tokens = True
    assert (await exchange(ACCESS, getUserInfo=True)).user_id == "id-of-jane"
    assert not provider.asked("/introspect")


async def test_of_one_that_cannot_be_read_the_provider_is_asked(exchange, provider):
    # Some sign access tokens for nobody but themselves.
    provider.jwt_access_tokens = True
    token = provider.tokens()["access_token"]
    provider.rotate_keys()
    identity = await exchange(ACCESS, token, getUserInfo=True)
    assert identity.user_id == "id-of-jane"
    assert len(provider.asked("/introspect")) == 1


async def test_an_id_token_may_be_good_for_userinfo(exchange, provider):
    # Of some providers, dex among them, it is.
    seen = []

    def answer(request):
        seen.append(request.headers["Authorization"])
        return {"sub": "id-of-jane", "email": "new@example.com", "groups": ["x"]}

    provider.answers["/me"] = answer
    overrides = {"userInfoURL": f"{provider.url}/me"}
    identity = await exchange(
        ID, getUserInfo=True, providerDiscoveryOverrides=overrides
    )
    assert (identity.email, identity.groups) == ("new@example.com", ("x",))
    assert len(seen) == 1


# — whose it is ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ID, ACCESS])
@pytest.mark.parametrize("signed", [True, False])
async def test_a_token_for_another_application_is_refused(
    exchange, provider, kind, signed
):
    """T-TX-01, T-TX-02."""
    provider.jwt_access_tokens = signed
    if kind == ID and not signed:
        provider.id_token_changes["azp"] = "dexcore"  # that is not whom it is for
    with pytest.raises(AccessDenied, match="not good here"):
        await exchange(kind, client_id="another", getUserInfo=kind == ACCESS)


@pytest.mark.parametrize("kind", [ID, ACCESS])
@pytest.mark.parametrize("signed", [True, False])
async def test_unless_the_file_names_that_application(exchange, provider, kind, signed):
    provider.jwt_access_tokens = signed
    options = {"tokenAudiences": ["another"], "getUserInfo": kind == ACCESS}
    identity = await exchange(kind, client_id="another", **options)
    assert identity.user_id == "id-of-jane"


@pytest.mark.parametrize("kind", [ID, ACCESS])
async def test_or_does_not_care(exchange, provider, kind):
    options = {"insecureSkipTokenAudience": True, "getUserInfo": kind == ACCESS}
    identity = await exchange(kind, client_id="another", **options)
    assert identity.user_id == "id-of-jane"
    assert not provider.asked("/introspect")


async def test_one_of_several_audiences_is_enough(exchange, provider):
    provider.id_token_changes["aud"] = ["dexcore", "another"]
    provider.id_token_changes["azp"] = "another"
    assert (await exchange(ID)).user_id == "id-of-jane"


async def test_a_signed_access_token_for_us_need_not_be_given_to_us(exchange, provider):
    provider.jwt_access_tokens = True
    options = {"tokenAudiences": ["api"], "getUserInfo": True}
    assert (await exchange(ACCESS, client_id="another", **options)).user_id


@pytest.mark.parametrize("kind", [ID, ACCESS])
async def test_without_a_client_id_and_audiences_nobody_is_meant(exchange, kind):
    options = {"clientID": "", "clientSecret": "", "getUserInfo": kind == ACCESS}
    with pytest.raises((AccessDenied, UpstreamError)):
        await exchange(kind, **options)


async def test_an_opaque_token_of_one_who_says_nothing_is_refused(exchange, provider):
    provider.metadata_changes["introspection_endpoint"] = None
    with pytest.raises(AccessDenied):
        await exchange(ACCESS, getUserInfo=True)
    assert not provider.asked("/userinfo")


# — what is wrong with it --------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://attacker.example"},
        {"aud": None},
        {"sub": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 9999999999},
    ],
    ids=str,
)
async def test_an_id_token_that_is_wrong_is_refused(exchange, provider, changes):
    """T-TX-01."""
    provider.id_token_changes.update(changes)
    with pytest.raises(AccessDenied, match="not good here"):
        await exchange(ID)


@pytest.mark.parametrize("signature", ["none", "hs256", "stranger", "broken"])
async def test_a_signature_that_is_wrong_is_refused(exchange, provider, signature):
    provider.signature = signature
    with pytest.raises(AccessDenied, match="not good here"):
        await exchange(ID)


@pytest.mark.parametrize("kind", [ID, ACCESS])
@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\0", "ä", "x" * 100_000])
async def test_garbage_is_refused(exchange, kind, token):
    with pytest.raises((AccessDenied, UpstreamError)):
        await exchange(kind, token, getUserInfo=kind == ACCESS)


async def test_a_token_that_was_revoked_is_refused(exchange, provider):
    token = provider.tokens()["access_token"]
    provider.revoke("jane")
    with pytest.raises(AccessDenied, match="not good here"):
        await exchange(ACCESS, token, getUserInfo=True)
    with pytest.raises(AccessDenied, match="not good here"):
        await exchange(ACCESS, token, getUserInfo=True, insecureSkipTokenAudience=True)


async def test_an_access_token_says_nothing_without_userinfo(exchange):
    with pytest.raises(AccessDenied, match="Only ID tokens"):
        await exchange(ACCESS)


@pytest.mark.parametrize("kind", ["", "urn:ietf:params:oauth:token-type:saml2", "jwt"])
async def test_other_kinds_of_tokens_are_refused(exchange, kind):
    with pytest.raises(AccessDenied, match="Only ID tokens and access tokens"):
        await exchange(kind, getUserInfo=True)


async def test_userinfo_about_somebody_else_is_refused(exchange, provider):
    provider.answers["/me"] = {"sub": "id-of-mallory"}
    overrides = {"userInfoURL": f"{provider.url}/me"}
    with pytest.raises(AccessDenied, match="not good here"):
        await exchange(ID, getUserInfo=True, providerDiscoveryOverrides=overrides)


@pytest.mark.parametrize("kind", [ID, ACCESS])
async def test_groups_that_let_nobody_in_do_not_here_either(exchange, kind):
    with pytest.raises(NotInRequiredGroups):
        await exchange(kind, allowedGroups=["x"], getUserInfo=kind == ACCESS)


async def test_a_provider_that_only_signs_is_enough(way_of, exchange):
    # As those of build servers: no pages, no clients, no user's name.
    with OpenIDProvider() as builds:
        builds.add_user("build", name=None, email=None, email_verified=None)
        for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint"):
            builds.metadata_changes[name] = None
        token = builds.tokens("build", "https://github.example/acme")["id_token"]
        identity = await exchange(
            ID,
            token,
            issuer=builds.issuer,
            clientID="",
            clientSecret="",
            scopes=["openid"],
            userNameKey="sub",
            tokenAudiences=["https://github.example/acme"],
        )
        assert identity.username == "id-of-build"
