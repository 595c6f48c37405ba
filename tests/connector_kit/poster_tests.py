import hashlib
import hmac
import html
import json

import pytest

from aiohttp import web

from dexcore.testing.connector import FormPostContract
from dexcore.testing.upstreams import Upstream

PAGE = """<form method=post action="{to}"><input type=hidden name=RelayState
value="{RelayState}"><input type=hidden name=SAMLResponse value="{answer}"></form>"""


def answer(seen):
    body = json.dumps({"user": "7", "to": seen.form["RelayState"]})
    mac = hmac.new(b"s3cret", body.encode(), hashlib.sha256).hexdigest()
    page = PAGE.format(**seen.form, answer=html.escape(f"{body}.{mac}"))
    return web.Response(text=page, content_type="text/html")


class TestPoster(FormPostContract):
    type = "poster"

    @pytest.fixture
    def upstream(self):
        with Upstream({"/sso": answer}) as upstream:
            yield upstream

    @pytest.fixture
    def config(self, upstream):
        return {"url": upstream.url, "secret": "s3cret"}
