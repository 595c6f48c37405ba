"""What a file says about subjects, what it cannot mean, and what it had better not."""

from __future__ import annotations

import pytest

from dexcore.config import ConfigProblems, Problem, loads, reads
from dexcore.storage import metadata_of

BASE = """\
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
connectors: [{type: mockCallback, id: one, name: One}]
"""
SALT = "subjects: {salt: a-salt-of-the-tests}\n"
CLIENT = "staticClients:\n- {id: a, secret: s, name: A, redirectURIs: [%s], %s}\n"
HOME = "'https://a.example/cb'"
TWO = "connectors: [{type: mockCallback, id: one, name: One}, "
TWO += "{type: mockCallback, id: two, name: Two}]\n"


def client(metadata: str, uris: str = HOME, more: str = "") -> str:
    return CLIENT % (uris, f"{more}metadata: {{{metadata}}}")


def found(text: str) -> tuple[str, tuple[Problem, ...], str]:
    """Return where the mark is, and what is wrong."""
    before, _, after = text.partition("▶")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    problems = reads(before + after, name="dex.yaml", environ={}).problems
    return f"dex.yaml:{line}:{column}", problems, before + after


ERRORS = [
    (f"{SALT[:-2]}, default: ▶opaque}}\n", "not a kind of subject", "Known: "),
    (f"{SALT[:-2]}, default: ▶pairwice}}\n", "not a kind", "Did you mean pairwise?"),
    (f"{SALT[:-2]}, previous: [dex, ▶sub]}}\n", "not a kind", "Known: "),
    ("subjects: {▶sault: a-salt-of-the-tests}\n", "is not known", "salt"),
    ("subjects: {salt: ▶short}\n", "shorter than 16", "openssl rand"),
    ("subjects: {saltEnv: ▶NO_SUCH}\n", "NO_SUCH is not set", "Set NO_SUCH"),
    (f"{SALT[:-2]}, saltEnv: ▶NO_SUCH}}\n", "exclude each other", "Keep one"),
    (client("subject: ▶plane"), "not a kind", "Did you mean plain?"),
    (client("subject: '▶claim:groups'").replace("'▶", "▶'"), "kind", "claim:email"),
    (client("subject: ▶email"), "not a kind", "claim:email"),
    (client("subject: plain, previous_subjects: [▶x]"), "not a kind", "Known: "),
    (client("subject_type: ▶private"), "not supported", "pairwise"),
    (SALT + client("subject: plain, subject_type: ▶pairwise"), "exclude", "Keep one"),
    (SALT + client("subject: pairwise, subject_type: ▶public"), "exclude", "Keep one"),
    (
        SALT + client("subject_type: ▶pairwise", f"{HOME}, 'https://b.example/cb'"),
        "several hosts: a.example, b.example",
        "sector_identifier_uri",
    ),
    (
        SALT + client("subject: ▶pairwise", "'com.example.app:/cb'"),
        "no redirect URI has a host",
        "sector_identifier_uri",
    ),
    (
        SALT + client("subject: ▶dex, previous_subjects: [pairwise]", ""),
        "no redirect URI has a host",
        "sector_identifier_uri",
    ),
    (
        SALT + client("subject_type: pairwise, sector_identifier_uri: ▶'http://a.b'"),
        "no https address",
        "one that somebody owns",
    ),
]


@pytest.mark.parametrize(("text", "message", "remedy"), ERRORS)
def test_subjects_that_cannot_be_meant(text: str, message: str, remedy: str) -> None:
    place, problems, text = found(BASE + text)
    [error] = [each for each in problems if each.severity == "error"]
    assert str(error.position) == place
    assert message in error.message
    assert remedy in error.remedy
    with pytest.raises(ConfigProblems):
        loads(text, environ={})


def test_the_default_counts_for_clients_that_say_nothing() -> None:
    text = f"{BASE}{SALT[:-2]}, default: pairwise}}\n"
    uris = f"{HOME}, 'https://b.example/cb'"
    with pytest.raises(ConfigProblems, match="several hosts"):
        loads(text + CLIENT % (uris, "public: false"))
    loads(text + client("subject_type: public", uris))


WARNINGS = [
    (client("subject: ▶'claim:email'"), "whoever gets another's email"),
    (client("subject: ▶'claim:name'"), "whoever gets another's name"),
    ("subjects: {default: ▶'claim:preferred_username'}\n", "preferred_username"),
    (client("subject: ▶plain").replace("staticC", f"{TWO}staticC"), "the same id"),
    ("enablePasswordDB: true\nsubjects: {default: ▶plain}\n", "the same id"),
    (
        SALT + client("subject_type: ▶pairwise", "'http://127.0.0.1:5555/cb'"),
        'all clients at "127.0.0.1"',
    ),
    (
        client("sector_identifier_uri: ▶'https://a.example/uris'"),
        "so there is no sector",
    ),
]


@pytest.mark.parametrize(("text", "message"), WARNINGS)
def test_subjects_that_are_unwise(text: str, message: str) -> None:
    base = BASE if TWO not in text else BASE[: BASE.index("connectors")]
    place, problems, text = found(base + text)
    [warning] = [each for each in problems if message in each.message]
    assert warning.severity == "warning"
    assert str(warning.position) == place
    loads(text, environ={})


@pytest.mark.parametrize(
    "text",
    [
        client("subject: hashed"),
        client("subject: dex, previous_subjects: [pairwise]"),
        "subjects: {default: hashed}\n",
        "subjects: {previous: [hashed]}\n",
    ],
)
def test_subjects_had_better_outlive_the_storage(text: str) -> None:
    [warning] = reads(BASE + text, environ={}).problems
    assert warning.severity == "warning"
    assert "only the storage has" in warning.message
    assert "Set subjects.salt" in warning.remedy


GOOD = [
    SALT + client("subject: plain"),
    SALT + client("subject_type: pairwise"),
    SALT + client("subject: pairwise, subject_type: pairwise"),
    SALT + client("subject: hashed, subject_type: public, previous_subjects: [dex]"),
    SALT
    + client(
        "subjectType: pairwise, sectorIdentifierURI: 'https://a.example/uris.json'",
        f"{HOME}, 'https://b.example/cb'",
    ),
    SALT + client("subject: pairwise", f"{HOME}, /dex/device/callback"),
    SALT + client("subject: pairwise", f"{HOME}, 'https://A.example:8443/cb'"),
    # Only one connector is for this client.
    TWO + client("subject: plain", more="allowedConnectors: [two], "),
]


@pytest.mark.parametrize("text", GOOD)
def test_subjects_that_are_as_they_should_be(text: str) -> None:
    base = BASE if TWO not in text else BASE[: BASE.index("connectors")]
    assert reads(base + text, environ={}).problems == ()


def test_the_salt_may_be_in_the_environment() -> None:
    text = f"{BASE}subjects: {{saltEnv: SALT}}\n"
    config = loads(text, environ={"SALT": "a-salt-of-the-tests"})
    assert config.subjects.salt == "a-salt-of-the-tests"
    assert "a-salt-of" not in repr(config)


def test_metadata_is_kept_with_the_client() -> None:
    text = BASE + client("subject: plain, previous_subjects: [dex]")
    [kept] = loads(text).static_clients
    metadata = metadata_of(kept)
    assert (metadata.subject, metadata.previous_subjects) == ("plain", ("dex",))
