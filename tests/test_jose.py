"""Signed tokens: what we sign verifies, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time

from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import jwt
import orjson
import pytest

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from dexcore import jose
from dexcore.jose import InvalidJWS, KeySet, SigningKey, b64decode, b64encode, keys

OURS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA")
PAYLOAD = b'{"iss":"https://op.example","sub":"CgF4","exp":1999999999}'
CLAIMS = {"iss": "https://op.example", "sub": "CgF4", "exp": 1999999999}

KEYS = {name: SigningKey.load(jose.generate(name)) for name in OURS}
RSA, EC = KEYS["RS256"], KEYS["ES256"]
KEY_SET = KeySet.of(EC, [KEYS[name].public for name in OURS])


def forge(header: Mapping[str, Any] | bytes, payload: bytes = PAYLOAD) -> str:
    """Return a token that our ES256 key has really signed, whatever its header says."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    signed = f"{b64encode(header)}.{b64encode(payload)}"
    secret = int.from_bytes(b64decode(EC.private["d"]), "big")
    key = ec.derive_private_key(secret, ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signed}.{b64encode(raw)}"


def header_of(token: str) -> bytes:
    return b64decode(token.partition(".")[0])


def unusual(token_header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header with its members in an order that we never write."""
    return dict(reversed([*token_header.items()]))


def as_pyjwt(jwk: Mapping[str, Any]) -> Any:
    return jwt.PyJWK(dict(jwk)).key


# — Encoding ---------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(st.binary())
def test_base64url_comes_back_as_it_went(data: bytes) -> None:
    text = b64encode(data)
    assert b64decode(text) == data
    assert "=" not in text


@pytest.mark.parametrize(
    "text", ["QQ==", "Q", "QR", "Q+8", "Q/8", "QU J", "QUJ\n", "QU.J", "Qé", "QUJD="]
)
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of error is the contract
        b64decode(text)


def test_half_hashes_are_those_of_the_specification() -> None:
    assert jose.left_half_hash("RS256", "access-token") == "Pxa-1wifRlPl7yG_0oJNfw"
    # OpenID Connect Core, the example of appendix A.3.
    access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    assert jose.left_half_hash("RS256", access_token) == "77QmUPtjPfzWtF2AnpK9RQ"


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("ES256", hashlib.sha256),
        ("ES384", hashlib.sha384),
        ("RS512", hashlib.sha512),
        ("EdDSA", hashlib.sha512),
    ],
)
def test_a_half_hash_goes_with_the_algorithm(
    algorithm: str, digest: Callable[[bytes], Any]
) -> None:
    whole = digest(b"token").digest()
    half = b64decode(jose.left_half_hash(algorithm, "token"))
    assert half == whole[: len(whole) // 2]


# — Keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", OURS)
def test_a_new_key_says_what_it_is_for(algorithm: str) -> None:
    """T-KEY-01."""
    jwk = KEYS[algorithm].private
    assert jwk["alg"] == algorithm
    assert jwk["use"] == "sig"
    assert len(bytes.fromhex(jwk["kid"])) == 20


def test_a_new_rsa_key_has_2048_bits_and_all_its_parts() -> None:
    jwk = jose.generate("RS256")
    assert {"n", "e", "d", "p", "q", "dp", "dq", "qi"} <= jwk.keys()
    assert int.from_bytes(b64decode(jwk["n"]), "big").bit_length() == 2048


@pytest.mark.parametrize("algorithm", OURS)
def test_the_public_half_has_no_secret(algorithm: str) -> None:
    jwk = KEYS[algorithm].private
    half = jose.public(jwk)
    assert not {"d", "p", "q", "dp", "dq", "qi"} & half.keys()
    assert half["kid"] == jwk["kid"]
    assert half.keys() | {"d", "p", "q", "dp", "dq", "qi"} >= jwk.keys()


def test_coordinates_are_always_of_full_length() -> None:
    for _ in range(300):
        jwk = jose.generate("ES256")
        assert [len(b64decode(jwk[name])) for name in "xyd"] == [32, 32, 32]


def test_an_rsa_key_without_its_primes_is_completed() -> None:
    bare = {name: RSA.private[name] for name in ("kty", "n", "e", "d", "kid")}
    token = SigningKey.load(bare).sign(PAYLOAD)
    assert KeySet.of(RSA, ()).verify(token)[1] == PAYLOAD


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "AAAA"},
        {**EC.private, "alg": "RS256"},
        {**EC.private, "alg": "ES384"},
        {**EC.private, "alg": "HS256"},
        {**EC.private, "d": "!"},
        {**EC.private, "d": None},
        {**RSA.private, "n": KEYS["RS384"].private["n"]},
        dict(EC.public),
    ],
)
def test_a_key_that_cannot_sign_is_not_loaded(jwk: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="unusable"):
        SigningKey.load(jwk)


def test_what_is_shown_of_a_key_is_no_secret() -> None:
    for key in KEYS.values():
        assert key.private["d"] not in repr(key)
        assert key.private["d"] not in repr(KeySet.of(key, ()))


# — Signing and verifying --------------------------------------------------------------


@pytest.mark.parametrize("algorithm", OURS)
def test_others_can_verify_what_we_sign(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = key.sign(PAYLOAD)
    assert jwt.decode(token, as_pyjwt(key.public), algorithms=[algorithm]) == CLAIMS
    assert header_of(token) == b'{"alg":"%s","kid":"%s"}' % (
        algorithm.encode(),
        key.kid.encode(),
    )


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "something+jwt"])
def test_a_type_comes_last_in_the_header(typ: str) -> None:
    token = EC.sign(PAYLOAD, typ)
    assert header_of(token).endswith(b',"typ":"%s"}' % typ.encode())
    assert KEY_SET.verify(token) == (CLAIMS, PAYLOAD)


@pytest.mark.parametrize("algorithm", OURS)
def test_both_ways_read_the_same_bytes(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = key.sign(PAYLOAD)
    by_hand = KEY_SET.verify(token)
    strictly = jose.verify_with_jwks(token, orjson.loads(KEY_SET.jwks), OURS)
    assert by_hand == strictly == (CLAIMS, PAYLOAD)


@pytest.mark.parametrize("algorithm", OURS)
def test_a_token_somebody_else_signed_with_our_key_is_the_same(algorithm: str) -> None:
    key = KEYS[algorithm]
    token = jwt.encode(
        CLAIMS, as_pyjwt(key.private), algorithm, headers={"kid": key.kid, "typ": "JWT"}
    )
    assert KEY_SET.verify(token)[0] == CLAIMS


@settings(deadline=None)  # the machine may be busy
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_any_claims_come_back_as_they_went(claims: dict[str, Any]) -> None:
    times = {"exp", "iat", "nbf", "auth_time"}
    claims = {name: claims[name] for name in claims.keys() - times}
    payload = orjson.dumps(claims)
    token = EC.sign(payload)
    found = KEY_SET.verify(token)
    assert found == (claims, payload)
    other_way = forge(unusual({"alg": "ES256", "kid": EC.kid}), payload)
    assert KEY_SET.verify(other_way) == found


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_a_token_changed_anywhere_does_not_verify(data: st.DataObject) -> None:
    key = KEYS[data.draw(st.sampled_from(["RS256", "ES256", "EdDSA"]))]
    token = key.sign(PAYLOAD)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCz09-_.=+ é\n"))
    changed = token[:at] + other + token[at + 1 :]
    if changed != token:
        with pytest.raises(InvalidJWS):
            KEY_SET.verify(changed)


@settings(deadline=None)  # the machine may be busy
@given(st.text())
def test_no_text_at_all_is_a_token(text: str) -> None:
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(text)
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(f"{EC.sign(PAYLOAD).partition('.')[0]}.{text}")


def test_signing_and_verifying_load_no_key() -> None:
    tokens = [key.sign(PAYLOAD) for key in KEYS.values()]
    called: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            called.add(argument.__name__)

    sys.setprofile(note)
    try:
        for key in KEYS.values():
            key.sign(PAYLOAD)
        for token in tokens:
            KEY_SET.verify(token)
    finally:
        sys.setprofile(None)
    assert {"sign", "verify"} <= called
    assert not [name for name in called if "key" in name or name.startswith("load_")]


# — The key set ------------------------------------------------------------------------


def test_a_key_set_lists_the_signing_key_first_then_the_others_in_order() -> None:
    others = [KEYS["RS256"].public, KEYS["EdDSA"].public]
    key_set = KeySet.of(EC, others)
    listed = orjson.loads(key_set.jwks)["keys"]
    assert listed == [EC.public, *others]
    assert key_set.jwks.startswith(b'{\n  "keys": [\n    {\n      "use": "sig",')
    assert key_set.algorithms == ("ES256", "RS256", "EdDSA")
    assert (key_set.algorithm, key_set.kid) == ("ES256", EC.kid)


def test_a_key_set_publishes_no_secret_even_if_it_is_given_one() -> None:
    """T-DISC-05."""
    key_set = KeySet.of(EC, [RSA.private])
    assert RSA.private["d"].encode() not in key_set.jwks
    assert key_set.verify(RSA.sign(PAYLOAD))


def test_a_key_that_cannot_be_read_is_left_out_of_the_key_set() -> None:
    broken = [{"kty": "RSA", "kid": "a"}, {"kid": "b"}, {**RSA.public, "n": 1}]
    key_set = KeySet.of(EC, [*broken, KEYS["EdDSA"].public])
    assert [key["kid"] for key in orjson.loads(key_set.jwks)["keys"]] == [
        EC.kid,
        KEYS["EdDSA"].kid,
    ]


def test_a_second_key_with_the_name_of_the_first_is_left_out() -> None:
    thief = SigningKey.load({**jose.generate("ES256"), "kid": EC.kid})
    key_set = KeySet.of(EC, [thief.public])
    assert len(orjson.loads(key_set.jwks)["keys"]) == 1
    with pytest.raises(InvalidJWS):
        key_set.verify(thief.sign(PAYLOAD))


def test_a_key_of_dex_without_an_algorithm_gets_the_usual_one() -> None:
    bare = {name: RSA.public[name] for name in ("kty", "kid", "n", "e")}
    key_set = KeySet.of(EC, [bare])
    assert key_set.algorithms == ("ES256", "RS256")
    assert key_set.verify(RSA.sign(PAYLOAD))


def test_a_token_without_kid_is_tried_with_every_key() -> None:
    assert KEY_SET.verify(forge({"alg": "ES256"}))[1] == PAYLOAD
    with pytest.raises(InvalidJWS):
        KeySet.of(RSA, [KEYS["EdDSA"].public]).verify(forge({"alg": "ES256"}))


def test_the_first_unusual_token_does_not_wait_for_an_import() -> None:
    jose.warm_up()
    token = forge({"alg": "ES256"})
    before = time.thread_time()
    KEY_SET.verify(token)
    assert time.thread_time() - before < 0.05


# — Refusing ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_an_unsigned_token_is_refused(name: str, signature: str) -> None:
    """T-JWT-01."""
    header = json.dumps({"alg": name, "kid": EC.kid}).encode()
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(f"{b64encode(header)}.{b64encode(PAYLOAD)}.{signature}")


def _as_pem(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _as_der(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    "secret",
    [
        _as_pem(as_pyjwt(RSA.public)),
        _as_der(as_pyjwt(RSA.public)),
        orjson.dumps(dict(RSA.public)),
        KeySet.of(RSA, ()).jwks,
        b"",
    ],
    ids=["pem", "der", "jwk", "jwks", "empty"],
)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_shared_secret(secret: bytes, algorithm: str) -> None:
    """T-JWT-02."""
    header = json.dumps({"alg": algorithm, "kid": RSA.kid}).encode()
    signed = f"{b64encode(header)}.{b64encode(PAYLOAD)}"
    mac = hmac.digest(secret, signed.encode(), f"sha{algorithm[2:]}")
    token = f"{signed}.{b64encode(mac)}"
    with pytest.raises(InvalidJWS):
        KeySet.of(RSA, ()).verify(token)
    with pytest.raises(InvalidJWS):
        jose.verify_with_jwks(token, {"keys": [dict(RSA.public)]}, ["RS256", algorithm])


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": dict(EC.public)},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/cert"},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"zip": "DEF"},
        {"enc": "A128GCM"},
    ],
    # Keys differ from run to run, and names of tests must not.
    ids=lambda extra: ",".join(f"{k}={v}" for k, v in extra.items() if k != "jwk"),
)
def test_a_header_that_asks_for_more_is_refused(extra: Mapping[str, Any]) -> None:
    """T-JWT-05."""
    token = forge({"alg": "ES256", "kid": EC.kid, **extra})
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(token)


def test_a_key_that_comes_with_the_token_is_not_used() -> None:
    """T-JWT-03."""
    stranger = SigningKey.load(jose.generate("ES256"))
    token = jwt.encode(
        CLAIMS,
        as_pyjwt(stranger.private),
        "ES256",
        headers={"jwk": dict(stranger.public), "kid": stranger.kid},
    )
    for known in ([dict(EC.public)], []):
        with pytest.raises(InvalidJWS):
            jose.verify_with_jwks(token, {"keys": known}, ["ES256"])


@pytest.mark.parametrize(
    "kid",
    ["../../etc/passwd", "' OR 1=1 --", "https://x/", "x" * 1_000_000, 1, None, [], ""],
    ids=["path", "sql", "url", "huge", "number", "null", "list", "empty"],
)
def test_a_strange_kid_is_no_key(kid: Any) -> None:
    """T-JWT-04."""
    token = forge({"alg": "ES256", "kid": kid})
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(token)


@pytest.mark.parametrize(
    "algorithm", ["RS256", "ES384", "EdDSA", "PS256", 256, None, []]
)
def test_the_key_says_which_algorithm_it_is_for(algorithm: Any) -> None:
    """T-JWT-06."""
    token = forge({"alg": algorithm, "kid": EC.kid})
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(token)


def test_an_rsa_key_for_one_algorithm_is_not_for_another() -> None:
    wider = SigningKey.load({**RSA.private, "alg": "RS512"})
    token = wider.sign(PAYLOAD)
    key_set = KeySet.of(RSA, [KEYS["RS512"].public])
    assert "RS512" in key_set.algorithms
    with pytest.raises(InvalidJWS):
        key_set.verify(token)


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"ES256","alg":"ES256"}',
        b'{"alg":"none","alg":"ES256"}',
        b'{"kid":"a"}',
        b'{"alg":"ES256","typ":1}',
        b'["alg","ES256"]',
        b'"ES256"',
        b"{",
        b"",
        b"\xff",
        b'{"alg":"ES256","x":NaN}',
        b'{"alg":"ES256","x":1e400}',
        b"[" * 5000,
    ],
)
def test_a_header_that_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(forge(header))


@pytest.mark.parametrize("dots", [0, 1, 3, 4, 1_000_000])
def test_a_token_has_three_parts(dots: int) -> None:
    before = time.thread_time()
    with pytest.raises(InvalidJWS):
        KEY_SET.verify("." * dots)
    assert time.thread_time() - before < 0.01


def test_an_encrypted_token_is_refused() -> None:
    """T-JWT-08."""
    header = b64encode(b'{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2000000000}')
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(f"{header}.AAAA.AAAA.AAAA.AAAA")
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(f"{header}.AAAA.AAAA")


def test_a_token_that_is_too_long_is_refused() -> None:
    """T-JWT-07."""
    long = b'{"x":"%s"}' % (b"x" * 65_000)
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(EC.sign(long))
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(forge({"alg": "ES256"}, long))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sub":"a","sub":"b"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b'{"exp":1e400}',
        b'{"x":1e400}',
        b'{"exp":1999999999.5}',
        b'{"exp":2e9}',
        b'{"exp":-1}',
        b'{"exp":"1999999999"}',
        b'{"exp":true}',
        b'{"exp":null}',
        b'{"iat":[]}',
        b'{"nbf":{}}',
        b'{"auth_time":"now"}',
        b"[]",
        b'"x"',
        b"1",
        b"",
        b"\xff",
        b"{",
        b'{"a":' * 3000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
    ],
    ids=repr,
)
@pytest.mark.parametrize("unusual_header", [False, True])
def test_claims_that_could_be_read_in_two_ways_are_refused(
    payload: bytes, unusual_header: bool
) -> None:
    """T-JWT-10."""
    token = forge({"alg": "ES256"}, payload) if unusual_header else EC.sign(payload)
    with pytest.raises(InvalidJWS):
        KEY_SET.verify(token)


def test_a_payload_that_go_has_written_is_read() -> None:
    payload = b'{"name":"a \\u0026 b", "exp": 1999999999}'
    claims, raw = KEY_SET.verify(EC.sign(payload))
    assert claims == {"name": "a & b", "exp": 1999999999}
    assert raw == payload


# — Tokens of others -------------------------------------------------------------------


def test_a_provider_may_write_times_with_a_fraction() -> None:
    token = EC.sign(b'{"exp":1999999999.25}')
    claims, _ = jose.verify_with_jwks(token, {"keys": [dict(EC.public)]}, ["ES256"])
    assert claims["exp"] == 1999999999.25


@pytest.mark.parametrize("value", ["-1", "1e400", '"1999999999"', "true", "null"])
def test_a_provider_may_not_write_nonsense_for_a_time(value: str) -> None:
    token = EC.sign(b'{"exp":%s}' % value.encode())
    with pytest.raises(InvalidJWS):
        jose.verify_with_jwks(token, {"keys": [dict(EC.public)]}, ["ES256"])


@pytest.mark.parametrize("algorithm", ["PS256", "PS384", "PS512"])
def test_a_provider_may_sign_with_pss(algorithm: str) -> None:
    bare = {name: RSA.public[name] for name in ("kty", "kid", "n", "e")}
    token = jwt.encode(
        CLAIMS, as_pyjwt(RSA.private), algorithm, headers={"kid": RSA.kid}
    )
    assert jose.verify_with_jwks(token, {"keys": [bare]}, [algorithm])[0] == CLAIMS
    signing = SigningKey.load({**RSA.private, "alg": algorithm})
    assert KeySet.of(signing, ()).verify(signing.sign(PAYLOAD))[1] == PAYLOAD


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"alg": "ES384"},
        {"kty": "oct", "k": b64encode(b"x" * 32)},
        {"crv": "P-384"},
        {"kid": "another"},
    ],
    ids=str,
)
def test_a_key_that_is_for_something_else_is_not_used(
    change: Mapping[str, Any],
) -> None:
    """T-JWT-06."""
    jwks = {"keys": [{**EC.public, **change}]}
    with pytest.raises(InvalidJWS):
        jose.verify_with_jwks(EC.sign(PAYLOAD), jwks, ["ES256", "ES384"])


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": ["x"]}, {"keys": 1}])
def test_what_is_no_key_set_verifies_nothing(jwks: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidJWS):
        jose.verify_with_jwks(EC.sign(PAYLOAD), jwks, ["ES256"])


def test_an_algorithm_that_is_not_accepted_is_refused() -> None:
    jwks = {"keys": [dict(EC.public)]}
    for accepted in (["RS256"], [], ["HS256", "none"]):
        with pytest.raises(InvalidJWS):
            jose.verify_with_jwks(EC.sign(PAYLOAD), jwks, accepted)


def test_a_key_of_giant_numbers_costs_no_time() -> None:
    giant = base64.urlsafe_b64encode(b"\xff" * 100_000).rstrip(b"=").decode()
    jwks = {"keys": [{**RSA.public, "n": giant, "e": giant}]}
    before = time.thread_time()
    with pytest.raises(InvalidJWS):
        jose.verify_with_jwks(RSA.sign(PAYLOAD), jwks, ["RS256"])
    assert time.thread_time() - before < 0.1


# — Vectors of the specifications ------------------------------------------------------


def test_the_signature_of_rfc_8037_is_ours_too() -> None:
    # Appendix A.4.
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    expected = (
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvp"
        "Ar_MuM0KAg"
    )
    sign = keys.signer("EdDSA", keys.private_key_of(jwk))
    assert b64encode(sign(signed)) == expected


def test_the_token_of_rfc_7515_appendix_a_2_verifies() -> None:
    n = (
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJ"
        "PMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0"
        "LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uD"
        "Zlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"
        "PAcDTW9gb54h4FRWyuXpoQ"
    )
    token = (
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9"
        "leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQ"
        "gr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYN"
        "X4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN938"
        "3LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6"
        "LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )
    jwks = {"keys": [{"kty": "RSA", "n": n, "e": "AQAB"}]}
    claims, payload = jose.verify_with_jwks(token, jwks, ["RS256"])
    assert claims["iss"] == "joe"
    assert payload.startswith(b'{"iss":"joe",\r\n')


# — The keys of others -----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", OURS)
def test_keys_that_are_loaded_once_verify_many_tokens(algorithm: str) -> None:
    known = jose.PublicKeys.of(
        {"keys": [dict(EC.public), dict(KEYS[algorithm].public)]}
    )
    for _ in range(2):
        found = known.load().verify(KEYS[algorithm].sign(PAYLOAD), [algorithm])
        assert (found.claims, found.payload) == (CLAIMS, PAYLOAD)
        assert found.algorithm == algorithm


def test_a_key_that_cannot_be_loaded_does_not_hinder_the_others() -> None:
    broken = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "kid": EC.kid}
    known = jose.PublicKeys.of({"keys": [broken, dict(EC.public)]}).load()
    assert known.verify(EC.sign(PAYLOAD), ["ES256"]).claims == CLAIMS


def test_a_key_nobody_knows_is_told_from_a_token_that_is_none() -> None:
    known = jose.PublicKeys.of({"keys": [dict(RSA.public)]})
    with pytest.raises(jose.UnknownKey):
        known.verify(EC.sign(PAYLOAD), OURS)
    with pytest.raises(InvalidJWS) as caught:
        known.verify("a token", OURS)
    assert not isinstance(caught.value, jose.UnknownKey)


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": ["a"]}, []])
def test_what_is_no_jwk_set_is_refused(jwks: Any) -> None:
    with pytest.raises(InvalidJWS, match="no JWK set"):
        jose.PublicKeys.of(jwks)


# — Private keys in PEM files ----------------------------------------------------------


def pem(algorithm: str) -> bytes:
    key = keys.private_key_of(KEYS[algorithm].private)
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(*encoding, serialization.NoEncryption()))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_private_key_of_a_pem_file_signs(algorithm: str) -> None:
    jwk = jose.jwk_of_pem(pem(algorithm))
    key = SigningKey.load(jwk)
    assert (key.algorithm, key.kid) == (algorithm, jose.thumbprint(key.public))
    found = jose.verify_with_jwks(
        key.sign(PAYLOAD), {"keys": [dict(key.public)]}, [algorithm]
    )
    assert found == (CLAIMS, PAYLOAD)


def test_a_thumbprint_is_that_of_the_specification() -> None:
    # RFC 7638 section 3.1.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1"
        "L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4"
        "QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO"
        "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF"
        "Cur-kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert jose.thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("algorithm", ["dsa", "secp256k1", "encrypted", "nonsense"])
def test_a_pem_file_without_a_key_for_us_is_refused(algorithm: str) -> None:
    key: Any = keys.private_key_of(EC.private)
    lock: Any = serialization.NoEncryption()
    if algorithm == "dsa":
        key = dsa.generate_private_key(1024)
    elif algorithm == "secp256k1":
        key = ec.generate_private_key(ec.SECP256K1())
    elif algorithm == "encrypted":
        lock = serialization.BestAvailableEncryption(b"secret")
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    text = key.private_bytes(*encoding, lock)
    with pytest.raises(ValueError, match=r"key|curve"):
        jose.jwk_of_pem(b"nonsense" if algorithm == "nonsense" else text)
