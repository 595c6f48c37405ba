"""Whatever a provider or a browser says, nothing of ours breaks."""

import pytest

from dexcore_connector_oidc import Config
from dexcore_connector_oidc.authorization import Pending
from dexcore_connector_oidc.connector import _unpacked
from dexcore_connector_oidc.identity import IdentityReader
from dexcore_connector_oidc.provider import read
from hypothesis import given
from hypothesis import strategies as st

from dexcore.config import structure
from dexcore.errors import NotInRequiredGroups, UpstreamError

ISSUER = "https://login.example.com"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "a", "roles"]), inner, max_size=3)
    ),
    max_leaves=6,
)
CLAIM_NAMES = [
    "sub", "oid", "name", "preferred_username", "nick", "email", "mail",
    "email_verified", "groups", "realm", "org",
]  # fmt: skip
CLAIMS = st.dictionaries(
    st.sampled_from(CLAIM_NAMES), JSON | st.just("a") | st.just(["a", "b"])
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "userIDKey": st.sampled_from(["oid", "sub"]),
        "scopes": st.sampled_from([[], ["email"]]),
        "overrideClaimMapping": st.booleans(),
        "insecureSkipEmailVerified": st.booleans(),
        "claimMapping": st.just(
            {"preferred_username": "nick", "email": "mail", "groups": "realm.roles"}
        ),
        "allowedGroups": st.just(["a"]),
        "claimModifications": st.just(
            {
                "newGroupFromClaims": [{"claims": ["org", "sub"], "delimiter": "-"}],
                "filterGroupClaims": {"groupsFilter": "^a"},
            }
        ),
    },
)


def config(**options):
    document = {"issuer": ISSUER, "insecureEnableGroups": True, **options}
    return structure(document, Config, where="config")


@given(CLAIMS, OPTIONS)
def test_claims_are_somebodys_or_an_error_of_the_provider(claims, options):
    try:
        found = IdentityReader.of(config(**options)).read(claims)
    except (UpstreamError, NotInRequiredGroups):
        return
    assert found.user_id
    assert all(isinstance(group, str) for group in found.groups)
    assert isinstance(found.email_verified, bool)


NAMES = [
    "authorization_endpoint",
    "jwks_uri",
    "id_token_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
]


@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.just([["RS256"], "none"])))
def test_a_document_is_a_providers_or_an_error_of_the_provider(document):
    try:
        found = read({"issuer": ISSUER, **document}, config())
    except UpstreamError:
        return
    assert "none" not in found.algorithms
    assert found.algorithms


@given(st.binary(max_size=50))
def test_what_is_kept_is_ours_or_nothing(data):
    assert isinstance(_unpacked(data), str)
    with pytest.raises(UpstreamError):
        Pending.unpack(data)
