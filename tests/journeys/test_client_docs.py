"""The requests of the pages about clients are made as they are written."""

import json
import re

from pathlib import Path
from urllib.parse import quote

import attrs
import pytest

from dexcore.testing.client_key import ClientKey

DOCS = Path(__file__).parents[2] / "docs"
TOKEN = "an-initial-access-token"
# Whose public half is on the page.
KEY = ClientKey(
    "ES256",
    {
        "kid": "78e48ca00207cbd17b19dad5cd51b83d68d2f535",
        "kty": "EC",
        "crv": "P-256",
        "x": "NmqCY4MXjd9t70VVyr1M_1udTaTTJzpUx_wYEcPPb2I",
        "y": "g6x1ZgrymofgrTpFSf37dCZhL-kp_up9-mHv2kqWeDk",
        "d": "LGrIkdSGZOIwrSKdGLCToKkMfCsoEE_6OHZRVyxF52M",
    },
)

_BLOCK = re.compile(r"^```http\n(.*?)\n```", re.S | re.M)
_NAME = re.compile(r"<([a-z_ ]+)>")


def config(page):
    return re.search(r"^```yaml\n(.*?)^```", page, re.S | re.M)[1]


@attrs.frozen
class Message:
    """A request or an answer, as the page writes it."""

    first: str
    headers: dict
    body: str

    @classmethod
    def of(cls, text):
        head, _, body = text.partition("\n\n")
        first, *lines = head.split("\n")
        return cls(first, dict(line.split(": ", 1) for line in lines), body)


class Reader:
    """Does what a page says, with what the server really answered."""

    def __init__(self, world):
        self.world = world
        self.known = {"an initial access token": TOKEN}

    def meant(self, text, quoted=str):
        return _NAME.sub(lambda found: quoted(self.value(found[1])), text)

    def value(self, name):
        issuer, now = self.world.issuer, self.world.clock().timestamp()
        if name == "assertion":
            self.known["the same assertion"] = KEY.assertion("shop", issuer, now=now)
            return self.known["the same assertion"]
        if name == "an assertion by another key":
            return ClientKey("ES256").assertion("shop", issuer, now=now)
        return self.known[name]

    async def send(self, request):
        method, target, _ = request.first.split()
        headers = {n: self.meant(v) for n, v in request.headers.items()}
        body = self.meant(request.body, str if request.body[:1] == "{" else quote)
        return await self.world.browser()._send(
            method, self.meant(target), data=body.encode(), headers=headers
        )

    def compare(self, written, answer):
        assert answer.status == int(written.first.split()[1]), answer.text
        for name, value in written.headers.items():
            assert answer.headers[name] == value
        if not written.body:
            assert answer.text == ""
            return
        answered = json.loads(answer.text)
        said = json.loads(written.body)
        assert sorted(answered) == sorted(said)
        for name, value in said.items():
            if name.endswith("_at") and value:
                assert type(answered[name]) is int
                continue
            if isinstance(value, str) and value == f"<{name}>":
                assert len(answered[name]) > 30
                if name in ("access_token", "id_token") or name not in self.known:
                    self.known[name] = answered[name]
            assert answered[name] == self.meant_value(value), name

    def meant_value(self, value):
        return self.meant(value) if isinstance(value, str) else value


@pytest.mark.parametrize("name", ["client-authentication", "registration"])
async def test_a_page_says_what_happens(make_world, name):
    page = (DOCS / f"{name}.md").read_text("utf-8")
    environ = {"REGISTRATION_TOKEN": TOKEN}
    reader = Reader(await make_world(config(page), environ=environ))
    messages = [Message.of(found[1]) for found in _BLOCK.finditer(page)]
    assert len(messages) >= 10
    for request, answer in zip(messages[::2], messages[1::2], strict=True):
        assert answer.first.startswith("HTTP/1.1 ")
        reader.compare(answer, await reader.send(request))


@pytest.mark.parametrize("name", ["client-authentication", "registration"])
def test_the_index_names_the_page(name):
    assert f"({name}.md)" in (DOCS / "README.md").read_text("utf-8")
