"""The pages doubles show to people: a login, and a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from aiohttp import web

__all__ = ["ask", "log_in", "sorry"]

_MOST_PEOPLE = 9

_STYLE = """
:root { color-scheme: light dark; --accent: #3a4ad0; --ink: #1c2030; --paper: #f4f5f9;
  --card: #fff; --line: #cfd3e0; --soft: #555c74; --bad: #a3223a }
@media (prefers-color-scheme: dark) { :root { --accent: #9aa6ff; --ink: #e8eaf4;
  --paper: #14161f; --card: #1e212d; --line: #3b4054; --soft: #a5abc2;
  --bad: #ff9aae } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 24rem; padding: 2rem 1.75rem; border-radius: 1rem;
  background: var(--card); border: 1px solid var(--line) }
h1 { margin: 0 0 .25rem; font-size: 1.375rem; line-height: 1.25 }
p { margin: 0 0 1rem; color: var(--soft) }
p.bad { color: var(--bad) }
label { display: block; margin: .875rem 0 .25rem; font-weight: 600 }
input, button { width: 100%; min-height: 2.75rem; padding: .5rem .75rem; font: inherit;
  color: inherit; border-radius: .5rem; border: 1px solid var(--line);
  background: transparent }
button { margin-top: 1rem; cursor: pointer; font-weight: 600 }
button.first { background: var(--accent); border-color: var(--accent);
  color: var(--card) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
li { overflow-wrap: anywhere }
"""


def log_in(
    title: str,
    fields: Mapping[str, str],
    *,
    people: Mapping[str, str],
    wrong: bool = False,
) -> web.Response:
    """Return a page that asks for a name and a password; *fields* go with them.

    *people*: the passwords of everybody, which it says: it is there for tests.
    """
    words = '<p class="bad" role="alert">Wrong name or password.</p>' if wrong else ""
    known = "".join(
        f"<li><b>{escape(name)}</b>, password <b>{escape(password)}</b></li>"
        for name, password in list(people.items())[:_MOST_PEOPLE]
    )
    hint = f"<p>A double for tests. It knows:</p><ul>{known}</ul>"
    form = f"""{hint}{words}<form method="post">{_hidden(fields)}
<label for="login">Name</label>
<input id="login" name="login" type="text" autocomplete="username" autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<button class="first">Sign in</button></form>"""
    return _page(f"Sign in to {title}", form, 401 if wrong else 200)


def ask(
    title: str, who: str, client: str, wants: Iterable[str], fields: Mapping[str, str]
) -> web.Response:
    """Return a page that asks *who* whether *client* may have what it *wants*."""
    wanted = "".join(f"<li>{escape(each)}</li>" for each in wants)
    form = f"""<p>You are {escape(who)}. <b>{escape(client)}</b> wants to see:</p>
<ul>{wanted or "<li>who you are</li>"}</ul><form method="post">{_hidden(fields)}
<button class="first" name="approval" value="approve">Authorize</button>
<button name="approval" value="rejected">Cancel</button></form>"""
    return _page(f"Authorize at {title}", form, 200)


def sorry(title: str, reason: str, status: int) -> web.Response:
    """Return a page that says why there is nothing else."""
    return _page(title, f'<p class="bad" role="alert">{escape(reason)}</p>', status)


def _hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def _page(title: str, content: str, status: int) -> web.Response:
    html = f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style>
</head><body><main><h1>{escape(title)}</h1>{content}</main></body></html>"""
    headers = {"Cache-Control": "no-store"}
    return web.Response(
        status=status, text=html, content_type="text/html", headers=headers
    )
