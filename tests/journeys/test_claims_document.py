"""What docs/claims.md shows of an ID token is in one; its requests are made elsewhere.

See test_grant_docs for those.
"""

import json
import re

from urllib.parse import parse_qs, urlsplit

from dexcore.oauth2.user_claims import SCOPE_OF

from .shown import blocks, read

PAGE = read("claims.md")


def block(language):
    return blocks(PAGE, language)[0]


def test_the_parameter_is_the_one_in_the_url():
    url = block("http").split()[1]
    [asked] = parse_qs(urlsplit(url).query)["claims"]
    assert json.loads(asked) == json.loads(block("json parameter"))


async def test_the_id_token_says_what_the_page_says(make_world):
    world = await make_world(block("yaml"))
    app = ("app", "app-secret")
    landed = await world.log_in(
        password="correct-horse",
        client_id="app",
        scope="openid",
        claims=block("json parameter"),
    )
    answer = await world.exchange(landed.params["code"], auth=app)
    claims = await world.claims(json.loads(answer.text)["id_token"])
    shown = json.loads(block("json id_token"))
    usual = {"iss", "sub", "aud", "exp", "iat", "jti", "nonce", "auth_time"}
    assert claims.keys() - usual - {"at_hash", "c_hash"} == shown.keys()
    assert shown.items() <= claims.items()


def test_every_claim_and_its_scope_are_listed():
    told = {}
    scope = ""
    for row in re.findall(r"^\| (.*?) \|$", PAGE[: PAGE.index("## Single")], re.M):
        first, names, *_ = row.split(" | ") if row[0] != "|" else ("", row[2:])
        scope = first.strip("` ") or scope
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names.split(" | ")[0]), scope)
    assert {name: told.get(name) for name in SCOPE_OF} == SCOPE_OF
