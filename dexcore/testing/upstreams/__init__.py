"""Doubles of upstream identity providers: real servers on a loopback port.

:class:`Upstream` is the root of all.  What it answers is a table of paths::

    with Upstream({"/user": {"id": 7, "login": "jane"}}) as upstream:
        connector = ToyConnector(upstream.url)
        ...
        assert upstream.asked("/user")[0].headers["Authorization"] == "Bearer t"
        with upstream.status(500, path="/user"):
            ...

A double with a memory is a subclass with routes, in a module of its own beside this
one; tests fill in its attributes, and read there what has happened::

    class Toys(Upstream):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.users = {"jane": 7}

        def routes(self) -> Iterable[web.AbstractRouteDef]:
            return [web.get("/user", self.user)]

        async def user(self, request: web.Request) -> web.StreamResponse:
            return web.json_response({"id": self.users[request.query["login"]]})

It answers as the real provider does, down to the small print connectors rely on; what
it need not know it leaves out.  It never imports the connector it stands before.

Every method of :class:`Upstream` may be called from tests with and without an event
loop.  Its URL names ``localhost`` where ours name ``127.0.0.1``: that makes it another
site, as real providers are, so browsers keep ``SameSite`` cookies from what it posts.
"""

from .base import Seen, Upstream, agree
from .trouble import TROUBLES, Trouble

__all__ = ["TROUBLES", "Seen", "Trouble", "Upstream", "agree"]
