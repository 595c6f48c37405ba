"""What a proof must be like to be one (RFC 9449 section 4.3)."""

import hashlib
import hmac
import time

import orjson
import pytest

from dexcore.errors import InvalidDPoPProof, InvalidRequest
from dexcore.jose import ALGORITHMS, b64decode, b64encode, generate, public, thumbprint
from dexcore.jose.keys import private_key_of, signer
from dexcore.oauth2.dpop import SIGNING_ALGORITHMS, check_thumbprint, parse

URL = "https://id.example.com/dex/token"
KEYS = {name: generate(name) for name in ("ES256", "RS256", "EdDSA", "ES512")}
PRIVATE = KEYS["ES256"]


def bare(jwk):
    members = ("kty", "crv", "x", "y", "n", "e")
    return {name: jwk[name] for name in members if name in jwk}


PUBLIC = bare(PRIVATE)
NOW = int(time.time())


def encoded(value):
    return b64encode(value if isinstance(value, bytes) else orjson.dumps(value))


def made(key=PRIVATE, algorithm="", header=(), claims=(), payload=None):
    """Return a proof; what is ``None`` is left out."""
    algorithm = algorithm or key["alg"]
    head = {"typ": "dpop+jwt", "alg": algorithm, "jwk": bare(key)} | dict(header)
    body = {"jti": "one", "htm": "POST", "htu": URL, "iat": NOW} | dict(claims)
    signed = ".".join(
        encoded({k: v for k, v in part.items() if v is not None})
        for part in (head, body)
    )
    if payload is not None:
        signed = f"{signed.partition('.')[0]}.{encoded(payload)}"
    sign = signer(key["alg"], private_key_of(key))
    return f"{signed}.{b64encode(sign(signed.encode()))}"


def test_a_proof_says_which_key_made_it():
    proof = parse(made(claims={"ath": "a", "nonce": "n"}))
    assert proof.jkt == thumbprint(PUBLIC)
    assert (proof.jti, proof.htm, proof.htu, proof.iat) == ("one", "POST", URL, NOW)
    assert (proof.ath, proof.nonce) == ("a", "n")


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_every_advertised_algorithm_works(algorithm):
    key = KEYS.get(algorithm) or generate(algorithm)
    assert parse(made(key)).jkt == thumbprint(public(key))
    assert algorithm in ALGORITHMS


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"typ": "at+jwt"},
        {"typ": 1},
        {"alg": "none"},
        {"alg": "NONE"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": None},
        {"alg": ["ES256"]},
        {"jwk": None},
        {"jwk": "a key"},
        {"jwk": [PUBLIC]},
        {"jwk": PRIVATE},
        {"jwk": PUBLIC | {"d": ""}},
        {"jwk": PUBLIC | {"alg": "ES384"}},
        {"jwk": PUBLIC | {"use": "enc"}},
        {"jwk": PUBLIC | {"key_ops": ["sign"]}},
        {"jwk": PUBLIC | {"key_ops": 1}},
        {"jwk": PUBLIC | {"crv": "P-384"}},
        {"jwk": PUBLIC | {"crv": ["P-256"]}},
        {"jwk": PUBLIC | {"x": PUBLIC["y"]}},
        {"jwk": PUBLIC | {"x": 1}},
        {"jwk": PUBLIC | {"x": "ä"}},
        {"jwk": {name: PUBLIC[name] for name in ("kty", "crv", "x")}},
        {"jwk": {"kty": "oct", "k": b64encode(b"secret")}},
        {"jwk": bare(KEYS["RS256"])},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"jku": "https://evil.example.com/keys"},
        {"x5u": "https://evil.example.com/chain"},
        {"x5c": ["MIIB"]},
    ],
)
def test_a_header_that_asks_for_something_else_is_refused(header):
    with pytest.raises(InvalidDPoPProof):
        parse(made(header=header))


@pytest.mark.parametrize(
    "claims",
    [
        {"jti": None},
        {"jti": ""},
        {"jti": 1},
        {"jti": "j" * 513},
        {"htm": None},
        {"htm": ["POST"]},
        {"htu": None},
        {"htu": 1},
        {"iat": None},
        {"iat": "1795886700"},
        {"iat": True},
        {"iat": -1},
        {"ath": 1},
        {"nonce": ["n"]},
    ],
    ids=repr,
)
def test_claims_that_are_missing_or_something_else_are_refused(claims):
    with pytest.raises(InvalidDPoPProof):
        parse(made(claims=claims))


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b"{",
        b'{"jti":"a","jti":"b","htm":"POST","htu":"https://a","iat":1}',
        b'{"jti":"a","htm":"POST","htu":"https://a","iat":NaN}',
        b'{"jti":"a","htm":"POST","htu":"https://a","iat":1e400}',
        b"\xff",
        b"[" * 5000,
    ],
    ids=lambda payload: payload[:60].decode("latin-1"),
)
def test_a_payload_that_is_no_plain_object_is_refused(payload):
    with pytest.raises(InvalidDPoPProof):
        parse(made(payload=payload))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "..",
        lambda text: text + ".",
        lambda text: text.rpartition(".")[0],
        lambda text: text.rpartition(".")[0] + ".",
        lambda text: text + "=",
        lambda text: text.swapcase(),
        lambda text: text.replace(".", "..", 1),
        lambda text: f"{text}, {text}",
        lambda text: "a" * 9000 + text,
        lambda text: "ä" + text,
    ],
)
def test_what_is_no_jws_is_refused(spoil):
    with pytest.raises(InvalidDPoPProof):
        parse(spoil(made()))


def test_another_signature_is_refused():
    head, body, _ = made().split(".")
    other = made(claims={"jti": "two"}).rpartition(".")[2]
    with pytest.raises(InvalidDPoPProof):
        parse(f"{head}.{body}.{other}")


def test_the_public_key_is_no_shared_secret():
    head = encoded({"typ": "dpop+jwt", "alg": "HS256", "jwk": PUBLIC})
    body = encoded({"jti": "one", "htm": "POST", "htu": URL, "iat": NOW})
    for secret in (b"", orjson.dumps(PUBLIC), b64decode(PUBLIC["x"])):
        mac = hmac.digest(secret, f"{head}.{body}".encode(), "sha256")
        with pytest.raises(InvalidDPoPProof):
            parse(f"{head}.{body}.{b64encode(mac)}")


def test_a_short_or_a_huge_rsa_key_is_refused():
    weak = {
        "kty": "RSA",
        "alg": "RS256",
        "e": "AQAB",
        "n": b64encode(b"\xc1" + b"\x01" * 127),
    }
    with pytest.raises(InvalidDPoPProof):
        parse(made(header={"alg": "RS256", "jwk": weak}))
    for huge in ({"n": "A" * 2801}, {"e": "A" * 9}):
        jwk = bare(KEYS["RS256"]) | huge
        with pytest.raises(InvalidDPoPProof):
            parse(made(KEYS["RS256"], header={"jwk": jwk}))


# — what it is for ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "htu",
    [
        URL,
        f"{URL}?query=1#fragment",
        "https://id.example.com:443/dex/token",
        "HTTPS://ID.example.com/dex/token",
    ],
)
def test_one_address_may_be_written_in_several_ways(htu):
    parse(made(claims={"htu": htu})).check_request("POST", URL)


@pytest.mark.parametrize(
    "htu",
    [
        "http://id.example.com/dex/token",
        "https://id.example.com:444/dex/token",
        "https://id.example.com/dex/token/",
        "https://id.example.com/dex/TOKEN",
        "https://id.example.com/dex/userinfo",
        "https://id.example.com.evil.org/dex/token",
        "https://id.example.com@evil.org/dex/token",
        "https://id.example.com:port/dex/token",
        "https://[/dex/token",
        "/dex/token",
        "token",
    ],
)
def test_another_address_is_another(htu):
    proof = parse(made(claims={"htu": htu}))
    with pytest.raises(InvalidDPoPProof, match=r"address"):
        proof.check_request("POST", URL)


@pytest.mark.parametrize("htm", ["GET", "post", "POST "])
def test_another_method_is_another(htm):
    with pytest.raises(InvalidDPoPProof, match="method"):
        parse(made(claims={"htm": htm})).check_request("POST", URL)


def test_a_proof_goes_with_one_access_token():
    digest = hashlib.sha256(b"a token").digest()
    proof = parse(made(claims={"ath": b64encode(digest)}))
    proof.check_token("a token")
    for other in ("another", "", "ä"):
        with pytest.raises(InvalidDPoPProof, match="access token"):
            proof.check_token(other)
    with pytest.raises(InvalidDPoPProof, match="access token"):
        parse(made()).check_token("a token")


def test_a_thumbprint_looks_like_one():
    right = thumbprint(PUBLIC)
    assert check_thumbprint(right) == right
    assert check_thumbprint("") == ""
    for wrong in (right[1:], right + "A", right[1:] + "=", "a thumbprint"):
        with pytest.raises(InvalidRequest, match="dpop_jkt"):
            check_thumbprint(wrong)
