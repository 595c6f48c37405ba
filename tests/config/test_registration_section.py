"""The section ``registration``, and what it cannot mean."""

from __future__ import annotations

import pytest

from dexcore.config import ConfigProblems, loads

BASE = """\
issuer: http://127.0.0.1:5556/dex
storage: {type: memory}
web: {http: 127.0.0.1:5556}
"""
TOKEN = "initialAccessTokens: [an-initial-access-token]"


def test_without_it_nobody_registers() -> None:
    options = loads(BASE).registration
    assert not options.enabled
    assert not options.open
    assert not options.client_id_metadata_documents


def test_a_token_may_come_from_the_environment() -> None:
    text = f"{BASE}registration: {{enabled: true, initialAccessTokens: [$TOKEN]}}\n"
    options = loads(text, environ={"TOKEN": "a-token-of-the-environment"}).registration
    assert options.initial_access_tokens == ("a-token-of-the-environment",)
    assert "a-token-of-the-environment" not in repr(options)


@pytest.mark.parametrize(
    ("section", "message", "remedy"),
    [
        ("{enabled: ▶true}", "nobody can register", '"open: true"'),
        (
            "{enabled: true, initialAccessTokens: [▶short]}",
            "has 5 characters and can be guessed",
            "openssl rand",
        ),
        (
            "{enabled: true, initialAccessTokens: [▶'']}",
            "has 0 characters",
            "openssl rand",
        ),
        (f"{{enabled: true, {TOKEN}, clientsPerToken: ▶0}}", "room for no", "1 or"),
        (f"{{enabled: true, {TOKEN}, maxClients: ▶-5}}", "room for no client", "1 or"),
        (f"{{enabled: true, {TOKEN}, clientLifetime: ▶-1h}}", "negative", "Write 1h"),
        (
            f"{{enabled: true, {TOKEN}, grantTypes: [▶authorisation_code]}}",
            "is not known",
            "authorization_code",
        ),
        (f"{{enabled: true, {TOKEN}, scopes: [▶mail]}}", "is not known", "email"),
        (
            f"{{enabled: true, {TOKEN}, redirectURISchemes: [▶javascript]}}",
            "runs code",
            "Remove it.",
        ),
        (
            f"{{enabled: true, {TOKEN}, redirectURISchemes: [▶'com.example.app:/']}}",
            "not how an address begins",
            "com.example.app",
        ),
        (f"{{enabled: true, {TOKEN}, ▶scopes: []}}", "no client can register", "Name"),
        (f"{{enabled: true, {TOKEN}, ▶initialTokens: [a]}}", "not known", "initial"),
    ],
)
def test_a_section_that_cannot_be_meant(
    section: str, message: str, remedy: str
) -> None:
    before, _, after = f"{BASE}registration: {section}\n".partition("▶")
    with pytest.raises(ConfigProblems) as raised:
        loads(before + after, name="dex.yaml")
    [problem] = raised.value.problems
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert remedy in problem.remedy
    assert "short" not in str(problem)
