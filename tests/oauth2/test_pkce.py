"""RFC 7636, and the downgrade of RFC 9700 section 4.8.2."""

from __future__ import annotations

import pytest

from dexcore.errors import InvalidGrant, InvalidRequest
from dexcore.oauth2.pkce import PKCE, check_challenge, verify

BOTH = ("S256", "plain")

# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_example_of_the_rfc_is_accepted() -> None:
    proof = check_challenge(CHALLENGE, "S256", BOTH)
    assert proof == PKCE(CHALLENGE, "S256")
    verify(proof, VERIFIER)


def test_a_challenge_without_a_method_is_plain() -> None:
    proof = check_challenge(VERIFIER, "", BOTH)
    assert proof == PKCE(VERIFIER, "plain")
    verify(proof, VERIFIER)


def test_a_challenge_that_dex_has_stored_without_a_method_is_plain() -> None:
    verify(PKCE(VERIFIER, ""), VERIFIER)
    with pytest.raises(InvalidGrant):
        verify(PKCE(CHALLENGE, ""), VERIFIER)


def test_without_a_challenge_there_is_nothing_to_prove() -> None:
    for method in ("", "S256", "plain", "nonsense"):
        assert check_challenge("", method, BOTH) == PKCE("", "")
    verify(PKCE("", ""), "")
    verify(PKCE("", "plain"), "")


def test_plain_is_refused_where_it_is_switched_off() -> None:
    """T-PKCE-04."""
    for method in ("plain", ""):
        with pytest.raises(InvalidRequest, match=r'method \("plain"\)'):
            check_challenge(VERIFIER, method, ("S256",))


@pytest.mark.parametrize("method", ["s256", "S512", "none", 'x"\n<b>'])
def test_an_unknown_method_is_refused(method: str) -> None:
    with pytest.raises(
        InvalidRequest, match="Unsupported PKCE challenge method"
    ) as refused:
        check_challenge(CHALLENGE, method, BOTH)
    assert "\n" not in refused.value.description


@pytest.mark.parametrize(
    "challenge", ["x" * 42, "x" * 129, "x" * 42 + "=", "x" * 42 + " ", "é" * 43]
)
def test_a_challenge_of_the_wrong_shape_is_refused(challenge: str) -> None:
    for method in BOTH:
        with pytest.raises(InvalidRequest, match="Invalid code_challenge"):
            check_challenge(challenge, method, BOTH)


@pytest.mark.parametrize("length", [43, 128])
def test_verifiers_from_43_to_128_characters_are_accepted(length: int) -> None:
    """T-PKCE-05."""
    verifier = ("aZ09-._~" * 16)[:length]
    verify(check_challenge(verifier, "plain", BOTH), verifier)


@pytest.mark.parametrize(
    "verifier",
    [
        VERIFIER[:-1],
        VERIFIER + "x",
        VERIFIER[:-1] + "K",
        VERIFIER + "\n",
        "x" * 42,
        "x" * 129,
        "é" * 43,
        CHALLENGE,
    ],
)
def test_a_wrong_verifier_is_refused(verifier: str) -> None:
    with pytest.raises(InvalidGrant, match=r"Invalid code_verifier\."):
        verify(PKCE(CHALLENGE, "S256"), verifier)


def test_a_short_verifier_is_refused_even_if_it_is_right() -> None:
    with pytest.raises(InvalidGrant):
        verify(PKCE("short", "plain"), "short")


def test_a_missing_verifier_is_refused() -> None:
    with pytest.raises(InvalidGrant, match="Expecting parameter code_verifier"):
        verify(PKCE(CHALLENGE, "S256"), "")


def test_a_verifier_without_a_challenge_is_refused() -> None:
    for stored in (PKCE("", ""), PKCE("", "plain")):
        with pytest.raises(InvalidGrant, match="No PKCE flow started"):
            verify(stored, VERIFIER)


def test_a_method_nobody_knows_proves_nothing() -> None:
    with pytest.raises(InvalidGrant):
        verify(PKCE(VERIFIER, "S512"), VERIFIER)
