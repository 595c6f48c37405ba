"""docs/sessions.md and docs/logout.md show requests and answers: these."""

import re

from pathlib import Path
from urllib.parse import quote

import pytest

from dexcore.config import loads

DOCS = Path(__file__).parents[2] / "docs"
HOME = "http://127.0.0.1:5555/bye"

_BLOCK = re.compile(r"^```http\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"<(\w+)>")

BASE = """
issuer: https://id.example.com
storage: {type: memory}
web: {http: ':5556'}
"""


def pairs(document):
    blocks = _BLOCK.findall((DOCS / document).read_text("utf-8"))
    assert len(blocks) % 2 == 0
    return list(zip(blocks[::2], blocks[1::2], strict=True))


def filled_in(text, values):
    return _NAME.sub(lambda name: values[name[1]], text)


async def send(world, request, values):
    head, _, body = request.partition("\n\n")
    first, *lines = head.strip().split("\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines)
    headers = {name: filled_in(value, values) for name, value in headers.items()}
    coded = {name: quote(value, safe="") for name, value in values.items()}
    return await world.browser()._send(
        method, filled_in(target, coded), headers=headers, data=body.strip() or None
    )


def check(answer, expected):
    status, *headers = expected.strip().split("\n")
    assert status.split(" ")[1] == str(answer.status), answer.text
    for line in headers:
        name, value = line.split(": ", 1)
        # Names alternate with what is written out.
        pieces = _NAME.split(value)
        pieces[::2] = map(re.escape, pieces[::2])
        pieces[1::2] = [r"[\w-]+"] * len(pieces[1::2])
        found = answer.headers.getall(name)
        assert any(re.fullmatch("".join(pieces), each) for each in found), (line, found)


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
    shown = pairs(document)
    assert len(shown) >= 3
    for request, expected in shown:
        check(await send(world, request, values), expected)


@pytest.mark.parametrize("document", ["sessions.md", "logout.md"])
def test_the_configuration_that_is_shown_is_good(document):
    shown = _YAML.findall((DOCS / document).read_text("utf-8"))
    assert shown
    for text in shown:
        loads(BASE + text, environ={})
