"""docs/sessions.md and docs/logout.md show requests and answers: these."""

import re

from urllib.parse import quote

import pytest

from dexcore.config import loads

from .shown import blocks, exchanges, read

HOME = "http://127.0.0.1:5555/bye"

_NAME = re.compile(r"<(\w+)>")

BASE = """
issuer: https://id.example.com
storage: {type: memory}
web: {http: ':5556'}
"""


def filled_in(text, values):
    return _NAME.sub(lambda name: values[name[1]], text)


async def send(world, request, values):
    headers = {n: filled_in(value, values) for n, value in request.headers.items()}
    coded = {name: quote(value, safe="") for name, value in values.items()}
    return await world.browser()._send(
        request.method,
        filled_in(request.target, coded),
        headers=headers,
        data=request.body or None,
    )


def check(answer, expected):
    assert answer.status == expected.status, answer.text
    for name, value in expected.headers.items():
        # Names alternate with what is written out.
        pieces = _NAME.split(value)
        pieces[::2] = map(re.escape, pieces[::2])
        pieces[1::2] = [r"[\w-]+"] * len(pieces[1::2])
        found = answer.headers.getall(name)
        assert any(re.fullmatch("".join(pieces), each) for each in found), (
            value,
            found,
        )


@pytest.mark.parametrize("document", ["sessions.md", "logout.md"])
async def test_what_the_document_shows_is_what_happens(
    make_world, sso_config, document
):
    world = await make_world(
        sso_config.replace(
            "  name: Example App",
            f"  name: Example App\n  postLogoutRedirectURIs: ['{HOME}']",
        )
    )
    values = {}
    for name in ("session", "other_session"):
        _, landed = await world.logged_in()
        cookies = landed.headers.getall("Set-Cookie")
        [line] = [each for each in cookies if each.startswith("dex_session=")]
        values[name] = line.partition("=")[2].partition(";")[0]
        values.setdefault("id_token", (await world.tokens_of(landed))["id_token"])
    shown = exchanges(read(document))
    assert len(shown) >= 3
    for request, expected in shown:
        check(await send(world, request, values), expected)


@pytest.mark.parametrize("document", ["sessions.md", "logout.md"])
def test_the_configuration_that_is_shown_is_good(document):
    shown = blocks(read(document), "yaml")
    assert shown
    for text in shown:
        loads(BASE + text, environ={})
