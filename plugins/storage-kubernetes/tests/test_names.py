"""Names of objects, as dex makes them; the vectors come from dex itself."""

from __future__ import annotations

import pytest

from dexcore_storage_kubernetes import names
from dexcore_storage_kubernetes.resources import RESOURCES

PLURALS = {
    "authcodes": "AuthCode",
    "authrequests": "AuthRequest",
    "oauth2clients": "OAuth2Client",
    "refreshtokens": "RefreshToken",
    "signingkeies": "SigningKey",
    "passwords": "Password",
    "offlinesessionses": "OfflineSessions",
    "connectors": "Connector",
    "devicerequests": "DeviceRequest",
    "devicetokens": "DeviceToken",
    "useridentities": "UserIdentity",
    "authsessions": "AuthSession",
}


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("example-app", "mv4gc3lqnrss2ylqodf7fhheqqrcgji"),
        ("jane@example.com", "njqw4zkamv4gc3lqnrss4y3pnxf7fhheqqrcgji"),
        ("foo", "mzxw7s7sttsiiirdeu"),
    ],
)
def test_clients_and_passwords_have_dexs_names(id: str, name: str) -> None:
    assert names.of_id(id) == (name,)


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        (("john", "local"), "olvwklepe43wg"),
        (("jane", "local"), "fl5aryxkpnft4"),
        (("ab", "c"), "3domugdlv6w4w"),
        (("a", "bc"), "3domugdlv6w4w"),
    ],
)
def test_sessions_and_identities_have_dexs_names(
    pair: tuple[str, str], name: str
) -> None:
    assert names.of_pair(*pair)[0] == name


def test_pairs_that_share_dexs_name_have_names_of_their_own_besides() -> None:
    one, other = names.of_pair("ab", "c"), names.of_pair("a", "bc")
    assert one[0] == other[0]
    assert one[1] != other[1]
    assert all(map(names.is_name, one + other))


def test_user_codes_are_lowered_and_other_ids_kept() -> None:
    assert names.lowered("BCDF-GHJK") == ("bcdf-ghjk",)
    assert names.verbatim("abc") == ("abc",)


def test_our_own_names_are_in_the_order_of_their_ids() -> None:
    ids = [
        "",
        "0",
        "019876543210-a",
        "019876543210-b",
        "A",
        "a",
        "ab",
        "b",
        "é",
        "é" * 75,
    ]
    named = [names.ordered(id)[0] for id in ids]
    assert named == sorted(named)
    assert len({*named}) == len(ids)


def test_our_own_names_are_short_enough_for_ids_of_any_length() -> None:
    long = "a" * 10_000
    assert names.is_name(names.ordered(long)[0])
    assert names.ordered(long) != names.ordered(long + "a")


@pytest.mark.parametrize(
    "name", ["", "-", "a-", ".a", "a..b", "A", "a_b", "a/b", "é", "a\n", "a" * 254]
)
def test_what_kubernetes_takes_for_no_name_is_none(name: str) -> None:
    assert not names.is_name(name)


@pytest.mark.parametrize("name", ["a", "0", "a-b.c", "a" * 253])
def test_what_kubernetes_takes_for_a_name_is_one(name: str) -> None:
    assert names.is_name(name)


def test_the_resources_are_called_what_dex_calls_them() -> None:
    found = {one.plural: one.type for one in RESOURCES if not one.kind.own}
    assert found == PLURALS


def test_ours_are_out_of_dexs_way() -> None:
    ours = [one for one in RESOURCES if one.kind.own]
    assert len(ours) == 8
    for resource in ours:
        assert resource.plural.startswith("dexcore")
        assert resource.type.startswith("Dexcore")
