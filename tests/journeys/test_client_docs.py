"""The requests of the pages about clients are made as they are written."""

import json
import re

from urllib.parse import quote

import pytest

from dexcore.testing.client_key import ClientKey

from .shown import blocks, exchanges, read

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

_NAME = re.compile(r"<([a-z_ ]+)>")


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
        headers = {n: self.meant(v) for n, v in request.headers.items()}
        body = self.meant(request.body, str if request.body[:1] == "{" else quote)
        return await self.world.browser()._send(
            request.method,
            self.meant(request.target),
            data=body.encode(),
            headers=headers,
        )

    def compare(self, written, answer):
        assert answer.status == written.status, answer.text
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
    page = read(f"{name}.md")
    environ = {"REGISTRATION_TOKEN": TOKEN}
    reader = Reader(await make_world(blocks(page, "yaml")[0], environ=environ))
    shown = exchanges(page)
    assert len(shown) >= 5
    for request, answer in shown:
        reader.compare(answer, await reader.send(request))


@pytest.mark.parametrize("name", ["client-authentication", "registration"])
def test_the_index_names_the_page(name):
    assert f"({name}.md)" in read("README.md")
