"""Somebody logs in upstream and comes back."""

import base64
import hashlib
import logging

from urllib.parse import parse_qs, urlsplit

import attrs
import orjson
import pytest

from dexcore.connector import Identity, Scopes
from dexcore.errors import (
    AccessDenied,
    UpstreamError,
    UpstreamUnavailable,
    WrongRequest,
)

CALLBACK = "http://127.0.0.1:5556/dex/callback"


def asked(begun):
    return {
        name: value
        for name, [value] in parse_qs(
            urlsplit(begun.url).query, keep_blank_values=True
        ).items()
    }


async def test_jane_logs_in(way):
    identity = await way.log_in()
    assert attrs.evolve(identity, connector_data=b"") == Identity(
        user_id="id-of-jane",
        username="Jane",
        preferred_username="jane",
        email="jane@example.com",
        email_verified=True,
        groups=("admins", "authors"),
    )


async def test_the_browser_is_sent_with_what_the_specification_asks_for(way):
    begun = await way.begin(Scopes())
    sent = asked(begun)
    challenge, nonce = sent.pop("code_challenge"), sent.pop("nonce")
    assert sent == {
        "client_id": "dexcore",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "openid profile email",
        "state": "b6zmm5mguyebwvajyf2sdwwcw",
        "code_challenge_method": "S256",
    }
    assert len(challenge) == len(nonce) == 43
    assert "secret" not in begun.url


async def test_an_authorization_endpoint_keeps_its_query(provider, way_of):
    provider.metadata_changes["authorization_endpoint"] = (
        f"{provider.issuer}/authorize?p=b2c_1&p2=%20x"
    )
    url = (await (await way_of()).begin()).url
    assert url.startswith(f"{provider.issuer}/authorize?p=b2c_1&p2=%20x&")
    assert url.count("?") == 1


async def test_scopes_of_the_file_come_behind_openid_and_once(way_of):
    way = await way_of(scopes=["openid", "email", "offline_access", "email"])
    assert asked(await way.begin())["scope"] == "openid email offline_access"


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ({}, "consent"),
        ({"promptType": "none"}, "none"),
        ({"promptType": ""}, ""),
        ({"promptType": "login"}, "login"),
        ({"promptType": "consent"}, "consent"),
    ],
)
async def test_whoever_wants_a_refresh_token_is_prompted(way_of, prompt, sent):
    way = await way_of(**prompt)
    offline = asked(await way.begin())
    assert (offline["access_type"], offline["prompt"]) == ("offline", sent)
    assert not {"access_type", "prompt"} & asked(await way.begin(Scopes())).keys()


@pytest.mark.parametrize(
    ("prompt", "offline", "sent"),
    [
        ({}, False, "login"),
        ({}, True, "login consent"),
        ({"promptType": "login"}, True, "login"),
        ({"promptType": "none"}, True, "login"),
        ({"promptType": ""}, True, "login"),
    ],
)
async def test_whoever_must_log_in_now_must_upstream_too(way_of, prompt, offline, sent):
    """T-AZ-09: an upstream that remembers the end user would answer at once."""
    way = await way_of(**prompt)
    parameters = asked(await way.begin(Scopes(offline_access=offline, max_age=0)))
    assert (parameters["max_age"], parameters["prompt"]) == ("0", sent)


async def test_what_the_app_knows_of_the_login_is_passed_on(way):
    parameters = asked(await way.begin(Scopes(max_age=300, login_hint="jane@x & co")))
    assert parameters["max_age"] == "300"
    assert parameters["login_hint"] == "jane@x & co"
    assert "prompt" not in parameters
    assert not {"max_age", "login_hint"} & asked(await way.begin(Scopes())).keys()


async def test_acr_values_are_asked_for(way_of):
    way = await way_of(acrValues=["urn:mfa", "urn:pin"])
    assert asked(await way.begin())["acr_values"] == "urn:mfa urn:pin"


async def test_the_file_has_the_first_word_on_how_to_log_in(way_of):
    """A client cannot ask for less."""
    way = await way_of(acrValues=["urn:mfa"])
    for essential in (True, False):
        wish = Scopes(acr_values=("urn:pwd",), acr_essential=essential)
        parameters = asked(await way.begin(wish))
        assert parameters["acr_values"] == "urn:mfa"
        assert "claims" not in parameters


async def test_what_the_client_wishes_is_passed_on(way):
    parameters = asked(
        await way.begin(Scopes(acr_values=("gold", "a&b"), ui_locales=("fr-CA", "fr")))
    )
    assert parameters["acr_values"] == "gold a&b"
    assert parameters["ui_locales"] == "fr-CA fr"
    assert "claims" not in parameters


async def test_what_the_client_insists_on_is_insisted_on(way_of, provider):
    """OpenID Connect Core section 5.5.1.1, at providers that know it."""
    wish = Scopes(acr_values=("gold", "silver"), acr_essential=True)
    parameters = asked(await (await way_of()).begin(wish))
    assert parameters["acr_values"] == "gold silver"
    provider.metadata_changes["claims_parameter_supported"] = True
    parameters = asked(await (await way_of()).begin(wish))
    assert "acr_values" not in parameters
    assert orjson.loads(parameters["claims"]) == {
        "id_token": {
            "acr": {"essential": True, "values": ["gold", "silver"]},
            "amr": None,
        }
    }


async def test_a_refresh_token_is_kept_as_dex_keeps_it(way, provider):
    provider.token_changes["refresh_token"] = "r-1"
    data = (await way.log_in()).connector_data
    assert data == b'{"RefreshToken":"ci0x"}'


async def test_without_a_refresh_token_an_older_one_is_left_alone(
    way, provider, caplog
):
    provider.token_changes["refresh_token"] = None
    assert (await way.log_in()).connector_data == b""
    assert "offline_access" in caplog.text


async def test_a_client_without_the_scope_is_not_warned_about(way, provider, caplog):
    provider.token_changes["refresh_token"] = None
    await way.log_in(scopes=Scopes())
    assert not caplog.records


async def test_userinfo_comes_on_top_of_the_id_token(way_of, provider):
    provider.userinfo_claims = frozenset({"email", "email_verified", "groups"})
    provider.id_token_changes["name"] = "An old name"
    way = await way_of(getUserInfo=True, insecureEnableGroups=True)
    identity = await way.log_in()
    assert identity.email == "jane@example.com"
    assert identity.groups == ("admins", "authors")
    assert identity.username == "Jane"


async def test_without_get_user_info_nobody_asks_for_it(way, provider):
    await way.log_in()
    assert not provider.asked("/userinfo")


async def test_the_answer_may_come_as_a_form(way, callback):
    begun = await way.begin()
    brought = await way.go(begun)
    identity = await way.finish(callback({}, begun.connector_data, brought.query))
    assert identity.user_id == "id-of-jane"


# — PKCE -------------------------------------------------------------------------------


async def test_every_login_has_its_own_verifier_and_nonce(way):
    one, other = await way.begin(), await way.begin()
    for name in ("code_challenge", "nonce"):
        assert asked(one)[name] != asked(other)[name]
    assert one.connector_data != other.connector_data


async def test_the_challenge_is_the_hash_of_what_is_kept(way):
    begun = await way.begin()
    verifier = orjson.loads(begun.connector_data)["codeChallenge"]
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert asked(begun)["code_challenge"] == challenge
    assert verifier not in begun.url


async def test_a_provider_that_insists_on_pkce_lets_us_in(way, provider):
    provider.requires_pkce = True
    assert (await way.log_in()).user_id == "id-of-jane"


@pytest.mark.parametrize(
    ("option", "advertised", "method"),
    [
        ({}, ["S256", "plain"], "S256"),
        ({}, ["plain"], "plain"),
        ({}, [], None),
        ({}, None, None),
        ({"pkceChallenge": "S256"}, None, "S256"),
        ({"pkceChallenge": "plain"}, ["S256"], "plain"),
        ({"pkceChallenge": ""}, ["S256"], "S256"),
    ],
)
async def test_the_method_is_the_configured_or_the_best_advertised(
    way_of, provider, option, advertised, method, caplog
):
    provider.metadata_changes["code_challenge_methods_supported"] = advertised
    way = await way_of(**option)
    begun = await way.begin()
    sent = asked(begun)
    assert sent.get("code_challenge_method") == method
    assert ("code_challenge" in sent) == (method is not None)
    assert "code_verifier" not in sent
    assert (await way.finish(await way.go(begun))).user_id == "id-of-jane"
    verifiers = [seen.form.get("code_verifier") for seen in provider.asked("/token")]
    assert (verifiers[-1] is not None) == (method is not None)
    warned = method is not None and method not in (advertised or [])
    assert ("pkceChallenge" in caplog.text) == warned


async def test_a_code_of_another_login_is_not_taken(way, callback):
    # Somebody brings a code that was made for another browser.
    mine, theirs = await way.begin(), await way.begin()
    stolen = await way.go(theirs)
    with pytest.raises(AccessDenied, match="start again"):
        await way.finish(callback(stolen.query, mine.connector_data))


async def test_a_code_counts_once(way):
    brought = await way.go(await way.begin())
    await way.finish(brought)
    with pytest.raises(AccessDenied, match="start again"):
        await way.finish(brought)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"nonce":1}'])
async def test_a_login_that_was_not_begun_here_is_none(way, callback, data):
    brought = await way.go(await way.begin())
    with pytest.raises(UpstreamError, match="not begun here"):
        await way.finish(callback(brought.query, data))


# — the nonce --------------------------------------------------------------------------


async def test_an_id_token_of_another_login_is_refused_without_pkce_too(
    way_of, provider, callback
):
    provider.metadata_changes["code_challenge_methods_supported"] = None
    way = await way_of()
    mine, theirs = await way.begin(), await way.begin()
    stolen = await way.go(theirs)
    with pytest.raises(UpstreamError, match="nonce is of another login"):
        await way.finish(callback(stolen.query, mine.connector_data))


async def test_an_id_token_without_the_nonce_is_refused(way, provider):
    provider.id_token_changes["nonce"] = None
    with pytest.raises(UpstreamError, match="insecureSkipNonce"):
        await way.log_in()


async def test_a_provider_that_gives_no_nonce_back_can_be_put_up_with(way_of, provider):
    provider.id_token_changes["nonce"] = None
    way = await way_of(insecureSkipNonce=True)
    begun = await way.begin()
    assert "nonce" not in asked(begun)
    assert (await way.finish(await way.go(begun))).user_id == "id-of-jane"


# — where it comes back ----------------------------------------------------------------


@pytest.mark.parametrize(
    "redirect_uri", ["", CALLBACK, f"{CALLBACK}/my%20upstream"], ids=["", "all", "own"]
)
async def test_the_redirect_uri_is_one_of_ours(way_of, provider, redirect_uri):
    way = await way_of(id="my upstream", redirectURI=redirect_uri)
    begun = await way.begin()
    assert asked(begun)["redirect_uri"] == (redirect_uri or CALLBACK)
    identity = await way.finish(await way.go(begun))
    assert identity.user_id == "id-of-jane"
    [sent] = provider.asked("/token")
    assert sent.form["redirect_uri"] == (redirect_uri or CALLBACK)


@pytest.mark.parametrize(
    "redirect_uri", ["https://dex.example.com/callback", f"{CALLBACK}/other", "x"]
)
async def test_a_redirect_uri_that_is_not_ours_is_said_to_be_wrong(
    way_of, redirect_uri
):
    way = await way_of(redirectURI=redirect_uri)
    with pytest.raises(UpstreamError, match="redirectURI is"):
        await way.begin()


async def test_without_a_client_id_nobody_is_sent_anywhere(way_of):
    way = await way_of(clientID="")
    with pytest.raises(UpstreamError, match="clientID"):
        await way.begin()


# — what comes back instead ------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        "access_denied",
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
    ],
)
async def test_whoever_is_refused_upstream_reads_words_of_ours(way, callback, error):
    begun = await way.begin()
    query = {"error": error, "error_description": "<b>Call 555-EVIL</b>"}
    with pytest.raises(AccessDenied) as refused:
        await way.finish(callback(query, begun.connector_data))
    assert "identity provider" in refused.value.description
    assert "EVIL" not in refused.value.description


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable"])
async def test_a_provider_that_cannot_now_is_unavailable(way, callback, error):
    begun = await way.begin()
    with pytest.raises(UpstreamUnavailable, match=error):
        await way.finish(callback({"error": error}, begun.connector_data))


@pytest.mark.parametrize("error", ["invalid_scope", "unauthorized_client", "", "\0\n"])
async def test_any_other_error_is_the_providers(way, callback, error):
    begun = await way.begin()
    query = {"error": error, "code": "x", "error_description": "a\nb"}
    with pytest.raises(UpstreamError, match="The provider answered") as failed:
        await way.finish(callback(query, begun.connector_data))
    assert not isinstance(failed.value, UpstreamUnavailable)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("query", [{}, {"code": ""}, {"state": "x"}])
async def test_without_a_code_the_token_endpoint_is_not_asked(
    way, provider, callback, query
):
    begun = await way.begin()
    with pytest.raises(WrongRequest, match="no code"):
        await way.finish(callback(query, begun.connector_data))
    assert not provider.asked("/token")


async def test_words_of_the_provider_are_in_the_log(way, callback, caplog):
    caplog.set_level(logging.INFO)
    begun = await way.begin()
    query = {"error": "access_denied", "error_description": "not in the team"}
    with pytest.raises(AccessDenied):
        await way.finish(callback(query, begun.connector_data))
    [record] = caplog.records
    assert "not in the team" in record.getMessage()
    assert record.fields == {"connector_id": "upstream"}


# — mix-up (RFC 9207) ------------------------------------------------------------------


async def test_a_provider_that_names_itself_is_believed(way_of, provider):
    provider.names_itself = True
    assert (await (await way_of()).log_in()).user_id == "id-of-jane"


@pytest.mark.parametrize("names_itself", [True, False])
@pytest.mark.parametrize("error", [None, "access_denied"])
async def test_an_answer_of_another_provider_is_not_believed(
    way_of, provider, names_itself, error
):
    """T-FLOW-04."""
    provider.names_itself = names_itself
    way = await way_of()
    provider.callback_changes.update(iss="https://attacker.example", error=error)
    brought = await way.go(await way.begin())
    with pytest.raises(WrongRequest, match="another provider"):
        await way.finish(brought)
    assert not provider.asked("/token")


async def test_an_answer_without_a_name_is_not_that_of_one_who_names_itself(
    way_of, provider
):
    """T-FLOW-04."""
    provider.names_itself = True
    way = await way_of()
    provider.callback_changes["iss"] = None
    brought = await way.go(await way.begin())
    with pytest.raises(WrongRequest, match="which provider"):
        await way.finish(brought)
    assert not provider.asked("/token")
