"""Requests in the documentation are made as they are written.

So are the answers, and what a browser posts to the app.
"""

import json
import re

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from dexcore.testing.client_key import ClientKey
from dexcore.testing.dpop import ProofKey

from .shown import DOCS, Message, blocks

FOLDER = DOCS / "grants"
GRANTS = sorted(file for file in FOLDER.glob("*.md") if file.name != "README.md")
SHOWN = [
    *GRANTS,
    *(DOCS / name for name in ("resources.md", "dpop.md", "responses.md", "claims.md")),
]
APP = "127.0.0.1:5555"
ISSUER = "http://127.0.0.1:5556"
# RFC 8037 appendix A.1, whose public half the page trusts.
IDP_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "one",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}

_BLOCK = re.compile(r"^```http\n(.*?)\n```|^<!-- the user logs in -->", re.S | re.M)


def config(page):
    """Return the file the page shows, or that of all grants."""
    for text in (page.read_text("utf-8"), (FOLDER / "README.md").read_text("utf-8")):
        for found in blocks(text, "yaml"):
            if found.startswith("issuer: "):
                return found
    raise AssertionError("no configuration")


def messages(page):
    """Yield requests and answers by turns; ``None`` where the user does something."""
    for found in _BLOCK.finditer(page.read_text("utf-8")):
        yield Message.of(found[1]) if found[1] else None


class Reader:
    """Somebody who does what a page says, with what the server really answered."""

    def __init__(self, world):
        self.world = world
        self.really = {}  # by what the page says
        self.key = ProofKey()
        self.idp = ClientKey("EdDSA", IDP_KEY)
        self.answer = None

    def meant(self, text):
        """Return *text* with our values in the place of the page's."""
        pairs = parse_qsl(text, keep_blank_values=True)
        for name, value in pairs:
            if name == "assertion" and value not in self.really:
                self.really[value] = self.assertion()
        return urlencode([(name, self.really.get(v, v)) for name, v in pairs])

    async def send(self, request):
        method, target = request.method, request.target
        if "/auth?" in target:
            self.answer = await self.log_in(target)
            return
        headers = self.headers(request, method, target)
        browser = self.world.browser()
        if method == "GET":
            self.answer = await browser.get(target, headers=headers)
        else:
            form = self.meant(request.body)
            self.answer = await browser.post(target, data=form, headers=headers)

    def assertion(self):
        """Return what the page about assertions says, signed now."""
        text = (FOLDER / "jwt-bearer.md").read_text("utf-8")
        said = json.loads(blocks(text, "json")[0])
        now = int(self.world.clock().timestamp())
        said |= {"iat": now, "exp": now + said["exp"] - said["iat"]}
        return self.idp.sign(said, typ="oauth-id-jag+jwt")

    def headers(self, request, method, target):
        """Return what is sent: our token, and our proof of the key."""
        headers = dict(request.headers)
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if token in self.really:
            headers["Authorization"] = f"{scheme} {self.really[token]}"
        if "DPoP" in headers:
            token = self.really.get(token, "")
            now = int(self.world.clock().timestamp())
            proof = self.key.proof(method, ISSUER + target, access_token=token, iat=now)
            # What the page shows twice is the same proof.
            headers["DPoP"] = self.really.setdefault(headers["DPoP"], proof)
        return headers

    async def log_in(self, target):
        browser = self.world.browser()
        form = await browser.follow(await browser.get(target))
        if form.status != 200:
            return form
        jane = {"login": "jane", "password": "correct-horse"}
        return await browser.post(form.url, data=jane)

    def compare_posted(self, written):
        """The page that was answered posts to the app what is written."""
        [form] = self.answer.forms
        target = f"http://{APP}{written.target}"
        assert form["action"] == target
        self._compare_parameters(dict(parse_qsl(written.body)))

    async def connect_a_device(self):
        browser = self.world.browser()
        url = next(v for k, v in self.really.items() if "/device?user_code=" in k)
        page = (await browser.get(url.removeprefix(ISSUER))).forms[0]
        form = await browser.follow(
            await browser.post(page["action"], data=page["fields"])
        )
        jane = {"login": "jane", "password": "correct-horse"}
        asked = await browser.follow(await browser.post(form.url, data=jane))
        yes = asked.forms[0]
        landed = await browser.post(yes["action"], data=yes["fields"])
        assert "Device connected" in (await browser.follow(landed)).text

    def compare(self, written):
        """The answer is what the page says: status, headers, and the shape of it."""
        assert self.answer.status == written.status, self.answer.text
        for name, value in written.headers.items():
            if name == "Location":
                self._compare_location(value)
            else:
                assert self.answer.headers[name] == value
        if written.body:
            self._compare_json(json.loads(written.body), json.loads(self.answer.text))

    def _compare_location(self, written):
        one, other = urlsplit(written), urlsplit(self.answer.location)
        assert other._replace(query="", fragment="") == one._replace(
            query="", fragment=""
        )
        assert bool(other.fragment) is bool(one.fragment)
        self._compare_parameters(dict(parse_qsl(one.fragment or one.query)))

    def _compare_parameters(self, said):
        assert list(self.answer.params) == list(said)
        for name, value in self.answer.params.items():
            if name in ("code", "access_token", "id_token"):
                self.really[said[name]] = value
            else:
                assert value == said[name], name

    def _compare_json(self, written, answered):
        assert list(answered) == list(written)
        for name, value in written.items():
            assert type(answered[name]) is type(value)
            if name == "error_description":
                assert answered[name] == value
            elif isinstance(value, str) and (len(value) > 50 or name.endswith("_code")):
                # Random, but not of another length by far.
                self.really[value] = answered[name]
            elif name in ("exp", "iat", "nbf", "jti", "auth_time"):
                continue
            else:
                assert answered[name] == value, name


def test_every_grant_has_a_page():
    index = (FOLDER / "README.md").read_text("utf-8")
    assert [page.name for page in GRANTS if f"({page.name})" not in index] == []
    assert len(GRANTS) >= 7


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
async def test_a_page_says_what_happens(make_world, page):
    reader = Reader(await make_world(config(page)))
    steps = list(messages(page))
    assert len(steps) >= 4
    sent = False
    for step in steps:
        if step is None:
            await reader.connect_a_device()
        elif step.is_answer:
            assert sent, "an answer without a request"
            reader.compare(step)
            sent = False
        elif step.headers["Host"] == APP:
            reader.compare_posted(step)
        else:
            assert not sent, "a request without an answer"
            await reader.send(step)
            sent = True
    assert not sent
