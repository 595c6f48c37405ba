"""What a provider says about itself, and what the file says instead."""

import pytest

from dexcore.errors import ConfigError, UpstreamError, UpstreamUnavailable
from dexcore.testing.upstreams.openid import OpenIDProvider


async def test_a_provider_below_a_path(way_of):
    with OpenIDProvider(path="/realms/staff") as provider:
        provider.add_user()
        provider.add_client()
        way = await way_of(issuer=provider.issuer)
        assert (await way.log_in()).user_id == "id-of-jane"


async def test_a_slash_at_the_end_belongs_to_the_issuer(way_of, provider):
    provider.metadata_changes["issuer"] = f"{provider.issuer}/"
    provider.id_token_changes["iss"] = f"{provider.issuer}/"
    way = await way_of(issuer=f"{provider.issuer}/")
    assert (await way.log_in()).user_id == "id-of-jane"


@pytest.mark.parametrize("said", ["https://attacker.example", None, 7, "ISSUER/"])
async def test_one_who_says_he_is_another_is_refused(open_connector, provider, said):
    if said == "ISSUER/":
        said = f"{provider.issuer}/"
    provider.metadata_changes["issuer"] = said
    with pytest.raises(UpstreamError, match="issuerAlias"):
        await open_connector()


async def test_an_alias_is_what_its_tokens_say(way_of, provider):
    provider.metadata_changes["issuer"] = "https://public.example"
    provider.id_token_changes["iss"] = "https://public.example"
    way = await way_of(issuerAlias="https://public.example")
    assert (await way.log_in()).user_id == "id-of-jane"
    provider.id_token_changes["iss"] = None
    with pytest.raises(UpstreamError, match="it is from"):
        await way.log_in()


async def test_with_an_alias_the_issuer_is_not_good_enough(way_of, provider):
    way = await way_of(issuerAlias="https://public.example")
    with pytest.raises(UpstreamError, match="it is from"):
        await way.log_in()


async def test_an_upstream_that_is_down_is_tried_again_by_whoever_opens(
    open_connector, provider
):
    with provider.down(), pytest.raises(UpstreamUnavailable):
        await open_connector()
    assert await open_connector()


@pytest.mark.parametrize(
    "trouble",
    ["status", "html", "broken_json", "empty", "slow", "drip", "huge", "bomb",
     "redirect_loop", "hang_up"],
)  # fmt: skip
async def test_what_is_no_document_is_an_error(open_connector, provider, trouble):
    with (
        getattr(provider, trouble)(),
        pytest.raises(UpstreamError, match="openid-configuration"),
    ):
        await open_connector(seconds=0.5)


@pytest.mark.parametrize("url", ["/authorize", "javascript:alert(1)", 7, ["x"]])
async def test_an_endpoint_must_have_an_address(open_connector, provider, url):
    provider.metadata_changes["authorization_endpoint"] = url
    with pytest.raises(UpstreamError, match="authorization_endpoint"):
        await open_connector()


async def test_a_provider_may_have_no_pages(open_connector, provider):
    # Those whose tokens can only be exchanged have none.
    for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint"):
        provider.metadata_changes[name] = None
    assert await open_connector()


# — overrides --------------------------------------------------------------------------

WHERE = {
    "authURL": ("authorization_endpoint", "/authorize"),
    "tokenURL": ("token_endpoint", "/token"),
    "jwksURL": ("jwks_uri", "/jwks"),
    "userInfoURL": ("userinfo_endpoint", "/userinfo"),
}


@pytest.mark.parametrize("names", [[name] for name in WHERE] + [list(WHERE)], ids=str)
async def test_an_endpoint_may_be_somewhere_else(way_of, provider, names):
    overrides = {}
    for name in names:
        endpoint, path = WHERE[name]
        provider.metadata_changes[endpoint] = "https://unreachable.invalid/"
        overrides[name] = f"{provider.issuer}{path}"
    way = await way_of(getUserInfo=True, providerDiscoveryOverrides=overrides)
    assert (await way.log_in()).user_id == "id-of-jane"


async def test_an_override_overrides_nothing_else(way_of, provider, caplog):
    # All of this is lost with dex: the alias, PKCE, the algorithms, logout.
    provider.requires_pkce = True
    provider.metadata_changes["issuer"] = "https://public.example"
    provider.id_token_changes["iss"] = "https://public.example"
    way = await way_of(
        issuerAlias="https://public.example",
        providerDiscoveryOverrides={"userInfoURL": f"{provider.issuer}/userinfo"},
    )
    assert (await way.log_in()).user_id == "id-of-jane"
    assert await way.connector.logout_url("") == f"{provider.issuer}/logout"
    provider.signature = "hs256"
    with pytest.raises(UpstreamError, match="algorithm"):
        await way.log_in()


async def test_a_device_url_is_said_to_have_no_effect(open_connector, caplog):
    overrides = {"deviceAuthURL": "https://unreachable.invalid/device"}
    assert await open_connector(providerDiscoveryOverrides=overrides)
    assert "deviceAuthURL has no effect" in caplog.text


# — certificates -----------------------------------------------------------------------


@pytest.fixture
def tls_provider():
    with OpenIDProvider(tls=True) as provider:
        provider.add_user()
        provider.add_client()
        yield provider


@pytest.mark.parametrize("how", ["file", "text", "skip"])
async def test_a_certificate_of_ones_own(
    tls_provider, way_of, callback, tmp_path, how, caplog
):
    file = tmp_path / "ca.pem"
    file.write_text(tls_provider.ca)
    options = {
        "file": {"rootCAs": [str(file)]},
        "text": {"rootCAs": [tls_provider.ca]},
        "skip": {"insecureSkipVerify": True},
    }[how]
    way = await way_of(issuer=tls_provider.issuer, getUserInfo=True, **options)
    begun = await way.begin()
    brought = callback(tls_provider.sign_in(begun.url), begun.connector_data)
    identity = await way.finish(brought)
    assert identity.user_id == "id-of-jane"
    assert ("insecureSkipVerify" in caplog.text) == (how == "skip")


async def test_a_certificate_nobody_knows_is_refused(tls_provider, open_connector):
    with pytest.raises(UpstreamError, match="certificate"):
        await open_connector(issuer=tls_provider.issuer)


async def test_a_certificate_that_is_none_is_a_mistake_of_the_file(open_connector):
    with pytest.raises(ConfigError, match="root certificate 0"):
        await open_connector(rootCAs=["/nowhere.pem"])


async def test_plain_http_behind_https_is_noted(tls_provider, open_connector, caplog):
    tls_provider.metadata_changes["token_endpoint"] = "http://internal.example/token"
    await open_connector(issuer=tls_provider.issuer, rootCAs=[tls_provider.ca])
    assert "some of its endpoints are http" in caplog.text
