"""Logging out upstream too (RP-Initiated Logout)."""

import pytest

RETURN = "http://127.0.0.1:5556/dex/logout/callback"
ENCODED = "http%3A%2F%2F127.0.0.1%3A5556%2Fdex%2Flogout%2Fcallback"


async def test_the_endpoint_is_discovered(open_connector, provider):
    connector = await open_connector()
    assert await connector.logout_url(RETURN) == (
        f"{provider.issuer}/logout?client_id=dexcore&post_logout_redirect_uri={ENCODED}"
    )


async def test_without_a_way_back_it_is_bare(open_connector, provider):
    assert await (await open_connector()).logout_url("") == f"{provider.issuer}/logout"


@pytest.mark.parametrize("return_to", ["", RETURN])
async def test_a_provider_that_has_none_has_none(open_connector, provider, return_to):
    provider.metadata_changes["end_session_endpoint"] = None
    assert await (await open_connector()).logout_url(return_to) is None


async def test_the_file_may_say_where_it_is_and_its_query_is_kept(open_connector):
    overrides = {"endSessionURL": "https://sso.example/logout?realm=a%20b"}
    connector = await open_connector(providerDiscoveryOverrides=overrides)
    assert await connector.logout_url(RETURN) == (
        "https://sso.example/logout?realm=a%20b&client_id=dexcore"
        f"&post_logout_redirect_uri={ENCODED}"
    )


async def test_nothing_that_comes_back_is_an_error(open_connector, callback):
    connector = await open_connector()
    assert await connector.finish_logout(callback({"state": "x"})) is None
