"""Which kind of subject a client has, and of which sector it is."""

import pytest

from dexcore.oauth2.client_metadata import NO_METADATA, ClientMetadata
from dexcore.oauth2.subject_types import SubjectRule, check, rule_of, sector_of
from dexcore.oauth2.subjects import hash_subject

PAIRWISE = SubjectRule("pairwise", ("dex",))
HASHED = SubjectRule("hashed")


@pytest.mark.parametrize(
    ("metadata", "default", "rule"),
    [
        ({}, PAIRWISE, PAIRWISE),
        ({"jwks_uri": "https://a.example/jwks"}, PAIRWISE, PAIRWISE),
        ({"subject_type": "public"}, PAIRWISE, SubjectRule("dex")),
        ({"subject_type": "public"}, HASHED, HASHED),
        ({"subject_type": "pairwise"}, HASHED, SubjectRule("pairwise")),
        ({"subject": "plain"}, PAIRWISE, SubjectRule("plain")),
        ({"previous_subjects": ("plain",)}, HASHED, SubjectRule("hashed", ("plain",))),
        (
            {"subject": "dex", "previous_subjects": ("hashed",)},
            HASHED,
            SubjectRule("dex", ("hashed",)),
        ),
    ],
)
def test_what_a_client_says_comes_before_the_default(metadata, default, rule):
    assert rule_of(ClientMetadata(**metadata), default) == rule


def test_a_client_of_which_nothing_is_known_has_the_default():
    assert rule_of(NO_METADATA, PAIRWISE) is PAIRWISE


@pytest.mark.parametrize("kind", ["dex", "plain", "claim:email", "pairwise", "hashed"])
def test_kinds_are_known(kind):
    check(kind)


@pytest.mark.parametrize("kind", ["", "public", "claim:", "claim:groups", "Plain"])
def test_other_kinds_are_not(kind):
    with pytest.raises(ValueError, match="is not a kind of subject"):
        check(kind)


@pytest.mark.parametrize(
    ("uris", "uri", "sector"),
    [
        (["https://a.example/cb"], "", "a.example"),
        (["https://A.example:8443/cb", "https://a.example/other"], "", "a.example"),
        (["https://a.example/cb", "/dex/device/callback"], "", "a.example"),
        (
            ["https://a.example", "https://b.example"],
            "https://c.example/x",
            "c.example",
        ),
        ([], "https://c.example/x", "c.example"),
        (["http://[::1]:80/cb"], "", "::1"),
    ],
)
def test_a_sector_is_a_host(uris, uri, sector):
    """OpenID Connect Core section 8.1."""
    assert sector_of(uris, uri) == sector


@pytest.mark.parametrize(
    ("uris", "why"),
    [
        (["https://a.example", "https://b.example"], "several hosts: a.example, b"),
        ([], "no redirect URI has a host"),
        (["com.example.app:/cb", "urn:ietf:wg:oauth:2.0:oob"], "no redirect URI"),
        (["https://[broken/cb"], "no redirect URI"),
    ],
)
def test_a_sector_must_be_certain(uris, why):
    with pytest.raises(ValueError, match=why):
        sector_of(uris)


def test_a_hash_keeps_all_it_is_of_apart():
    salt = b"a salt"
    hashes = {
        hash_subject(salt, "ab", "c"),
        hash_subject(salt, "a", "bc"),
        hash_subject(salt, "ab", "c", "sector"),
        hash_subject(salt, "ab", "c", "other"),
        hash_subject(b"another salt", "ab", "c"),
        hash_subject(salt, "", "abc"),
        hash_subject(salt, "c", "", "ab"),
    }
    assert len(hashes) == 7
    assert {len(each) for each in hashes} == {43}
