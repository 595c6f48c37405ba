"""Regular expressions mean what they mean to Go."""

import warnings

import pytest

from dexcore_connector_oidc.patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "finds", "misses"),
    [
        (r"^.*\d$", ["a1"], ["a", "1a", "1\n", "\N{ARABIC-INDIC DIGIT ONE}"]),
        (r"team", ["my-team-x"], ["Team"]),
        (r"(?i)team", ["TEAM"], ["tea"]),
        (r"\Aa\z", ["a"], ["a\n", "ab"]),
        (r"(?m)^a$", ["b\na"], ["ab"]),
        (r"a\$", ["a$"], ["a"]),
        (r"[$]$", ["a$"], ["$a"]),
        (r"^[[:alpha:]]+$", ["abc"], ["a1", "ä", ""]),
        (r"^[^[:digit:][:space:]]+$", ["a-b"], ["a1", "a b"]),
        (r"^[a[]$", ["[", "a"], ["]"]),
        (r"^[]a]$", ["]", "a"], ["["]),
        (r"^[^]a]$", ["b"], ["]", "a"]),
        (r"^[\]x]$", ["]", "x"], ["\\"]),
        (r"^(?P<x>a)+$", ["aa"], ["b"]),
        (r"\w", ["a_"], ["ä"]),
        (r"\\z", [r"\z"], ["z"]),
        ("", ["", "a"], []),
    ],
)
def test_what_a_pattern_finds(pattern, finds, misses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = compile_pattern(pattern)
    assert [text for text in finds if not compiled.search(text)] == []
    assert [text for text in misses if compiled.search(text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "[",
        "a**",
        r"\p{Greek}",
        r"\Qa\E",
        r"\Z",
        "[[:nonsense:]]",
        "(?U)a",
        "a{9999999999}",
    ],
)
def test_what_is_not_understood_is_refused(pattern):
    with pytest.raises(ValueError, match=r"."):
        compile_pattern(pattern)
