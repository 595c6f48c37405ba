"""What people see: the pages, and the files they are drawn with.

Every page is a Jinja2 template in ``templates/``; :data:`PAGES` lists them, with the
values that may be left out.  All are escaped, none needs a script, and all work under
:data:`PAGE_HEADERS`.  Each template can also use

* ``issuer``, the name to show; ``logo``, the address of the logo; ``theme``
* ``extra``, the mapping ``frontend.extra`` of the configuration file
* ``favicon``, ``stylesheets``, ``submit_script`` and ``continue_script``, addresses of
  what pages load
* ``url('static/notice.png')``, the path of one of our files or endpoints
* ``req_path``, the path of the request, and ``status``, the status of the answer

``frontend.dir`` has the layout ``templates/``, ``static/``, ``themes/NAME/`` and
``robots.txt``.  A file there comes before ours of the same name, what is missing there
is taken from ours, and ``{% extends "dexcore/login.html" %}`` changes a part of a page.
Everything is read once, at start; our own pages are compiled when one is first shown.
"""

from __future__ import annotations

import hashlib
import http
import mimetypes
import os
import re
import secrets

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import aiohttp_jinja2
import attrs
import jinja2

from aiohttp import web
from markupsafe import Markup, escape
from multidict import CIMultiDict

from ..config.model import Frontend
from ..errors import ConfigError
from .urls import Issuer

# No form-action: browsers apply it to the redirects after a form as well, and ours end
# at the client's redirect_uri.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src {images}; {scripts}"
    "base-uri 'none'; frame-ancestors 'none'"
)

PAGE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": _POLICY.format(images="'self'", scripts=""),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)

# The pages, and the values of each that may be left out.  All others must be given.
PAGES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # connectors: each with id, name, url, type and available; whoever is logged in
        # already may go on by the account's url
        "login.html": {
            "signup_url": "",
            "account_name": "",
            "account_email": "",
            "account_url": "",
        },
        # post_url, username, prompt (the label of username)
        "password.html": {
            "back_link": "",
            "username": "",
            "prompt": "Username",
            "invalid": False,
            "connector_name": "",
            "signup_url": "",
            "show_remember_me": False,
            "remember_me_checked": False,
            "hidden": {},
        },
        # user, client_name, scopes (sentences), post_url, hidden
        "approval.html": {
            "hidden": {},
            "links": {},
            "stranger": False,
            "client_host": "",
            "destination": "",
        },
        # code
        "oob.html": {},
        # message (safe to show); error_id is what the log repeats
        "error.html": {"heading": "", "message": "", "error_id": ""},
        # post_url; fields: each with name, label, type, required, help, autocomplete;
        # values by name; errors: messages by name
        "signup.html": {
            "values": {},
            "errors": {},
            "hidden": {},
            "login_url": "",
            "message": "",
        },
        # email
        "signup_done.html": {"login_url": ""},
        # post_url
        "device.html": {"user_code": "", "invalid": False, "hidden": {}},
        # client_name
        "device_success.html": {},
        "device_denied.html": {},
        # discovery_url; with sessions (True), also who is logged in
        "home.html": {
            "sessions": False,
            "signup_url": "",
            "logged_in": False,
            "username": "",
            "email": "",
            "email_verified": False,
            "groups": (),
            "connector_name": "",
            "signed_in_iso": "",
            "signed_in_text": "",
            "session_expires_iso": "",
            "session_expires_text": "",
            "session_expiry_is_idle": False,
            "ip_address": "",
            "user_agent": "",
            "logout_url": "",
            # places: the user's other sessions, each with id, browser, ip_address,
            # used_iso and used_text; apps: each with id, name, used_iso, used_text
            "places": (),
            "apps": (),
            "post_url": "",
            "hidden": {},
        },
        # show_confirmation asks, with a form to post_url; logged_out says it is done
        "logout.html": {
            "post_url": "",
            "hidden": {},
            "back_url": "",
            "logged_out": False,
            "show_confirmation": False,
            "username": "",
        },
        # frames: addresses of applications that log out when they are loaded
        "frontchannel.html": {"continue_url": ""},
        # url (here the address the form goes to, so there is no url() function) and
        # fields by name; posted by static/submit.js, or by a button without scripts
        "form_post.html": {},
        # post_url; enrolling: qr_code, the base64 of a PNG, and the secret to type
        "totp_verify.html": {
            "invalid": False,
            "qr_code": "",
            "secret": "",
            "connector_name": "",
            "hidden": {},
        },
    }
)

# What differs from request to request on a page that is asked for a lot.  Our template
# prints these values, asks whether they are empty, and does nothing else with them.
_SLOTS: Mapping[str, tuple[str, ...]] = {
    "password.html": ("post_url", "back_link", "signup_url", "username", "req_path")
}
_FRAMES = 256  # per page; more connectors than that are drawn as other pages are

_SCRIPTS = {
    "form_post.html": "script-src 'self'; ",
    "frontchannel.html": "script-src 'self'; ",
}
_IMAGES = {"totp_verify.html": " data:"}

_OURS = Path(__file__).parent
_TEMPLATES = _OURS / "templates"
_THEMES = {"coreos": "light", "tectonic": "light"}

# The system's table of types differs from machine to machine.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


@attrs.frozen(eq=False)
class Pages:
    """The pages and files of one server, made once, at start."""

    environment: jinja2.Environment
    _templates: Mapping[str, _Page]
    _assets: Mapping[str, _Asset]
    _links: _Links

    @classmethod
    def open(
        cls, frontend: Frontend, issuer: Issuer, template_dirs: Iterable[Path] = ()
    ) -> Pages:
        """Read every template and file.

        ``template_dirs``, the plugins' folders, come after the operator's, before ours.
        Raises ``ConfigError`` if a folder, the theme or a template is missing or
        broken.
        """
        roots = _roots(frontend)
        theme = _THEMES.get(frontend.theme, frontend.theme) or "light"
        assets = _assets(roots, theme, issuer)
        links = _Links(issuer, {path: each.version for path, each in assets.items()})
        logo = frontend.logo_url or _own_logo(roots, theme)
        theirs = [root / "templates" for root in roots[:-1]] + list(template_dirs)
        environment = _environment(
            theirs,
            issuer=frontend.issuer,
            logo=links(logo),
            own_logo=bool(frontend.logo_url),
            theme=theme,
            extra=frontend.extra,
            url=links,
            favicon=links("theme/favicon.png"),
            submit_script=links("static/submit.js"),
            continue_script=links("static/continue.js"),
            stylesheets=(links("static/main.css"), links("theme/styles.css")),
        )
        for folder in theirs:
            _check_templates(environment, folder)
        # Whoever brings a template may do anything with the values.
        ours = not any(_templates_in(each) for each in theirs)
        templates = {
            name: _Page(
                environment,
                _whose(name, theirs),
                {**environment.globals, **defaults},
                CIMultiDict(_headers(name, logo)),
                _SLOTS.get(name, ()) if ours else (),
            )
            for name, defaults in PAGES.items()
        }
        return cls(environment, templates, assets, links)

    def render(
        self, template: str, path: str, *, status: int = 200, **values: Any
    ) -> web.Response:
        """Return page *template*, filled with *values*, for a request of *path*.

        Raises ``jinja2.UndefinedError`` if a value is missing.
        """
        page = self._templates[template]
        text = page.fill({**values, "req_path": path, "status": status})
        # A query may hold what is not text; what the browser gets must be.
        body = text.encode("utf-8", "replace")
        return web.Response(body=body, status=status, headers=page.headers.copy())

    def link(self, asset: str) -> str:
        """Return the address of one of our files, as ``url()`` in a template."""
        return str(self._links(asset))

    def install(self, app: web.Application) -> None:
        """Let plugins that render with aiohttp-jinja2 find our templates."""
        # aiohttp_jinja2.setup() would make an environment of its own, with a url() that
        # is not ours.
        app[aiohttp_jinja2.APP_KEY] = self.environment

    def routes(self) -> list[web.RouteDef]:
        """Return a route for each file; nothing else can be asked for."""
        return [web.get(path, asset.answer) for path, asset in self._assets.items()]


def allow_frames(response: web.Response, urls: Iterable[str]) -> None:
    """Let the page of *response* show *urls* in frames; a page of ours shows none."""
    origins = {f"{p.scheme}://{p.netloc}" for p in map(urlsplit, urls)}
    policy = response.headers["Content-Security-Policy"]
    frames = f"frame-src {' '.join(sorted(origins))}"
    response.headers["Content-Security-Policy"] = f"{policy}; {frames}"


@attrs.frozen(eq=False)
class _Page:
    environment: jinja2.Environment
    name: str
    given: Mapping[str, Any]
    headers: CIMultiDict[str]
    slots: tuple[str, ...] = ()
    _frames: dict[object, list[str]] = attrs.field(factory=dict, init=False)

    def fill(self, values: Mapping[str, Any]) -> str:
        frame = self._frame(values) if self.slots else None
        if frame is None:
            return self._draw(values)
        pieces = frame.copy()
        pieces[1::2] = [escape(values[name]) for name in frame[1::2]]
        return "".join(pieces)

    def _frame(self, values: Mapping[str, Any]) -> list[str] | None:
        """Return the page in pieces, every other the name of a slot; ``None``: draw it.

        It was drawn before, for the same values outside of the slots.
        """
        # The type counts too: text and markup with the same letters are equal.
        key = tuple(
            (name, bool(value)) if name in self.slots else (name, type(value), value)
            for name, value in values.items()
        )
        try:
            frame = self._frames.get(key)
        except TypeError:
            return None  # a value that may change is no key
        if frame is None and len(self._frames) < _FRAMES:
            mark = secrets.token_hex(16)
            marked = {n: f"{mark}{n}{mark}" for n in self.slots if values.get(n)}
            frame = self._frames[key] = self._draw({**values, **marked}).split(mark)
        return frame

    def _draw(self, values: Mapping[str, Any]) -> str:
        # What Template.render does, but the globals are merged once, at start: that is
        # half of the time a page takes.
        context = self.template.new_context({**self.given, **values}, shared=True)
        try:
            return "".join(self.template.root_render_func(context))
        except Exception:
            self.environment.handle_exception()

    @cached_property
    def template(self) -> jinja2.Template:
        # Compiling all of them would be a tenth of our start.
        return self.environment.get_template(self.name)


@attrs.frozen(eq=False)
class _Asset:
    """A file, its bytes and its strong ETag (RFC 9110 section 8.8.3)."""

    body: bytes
    version: str
    headers: Mapping[str, str]

    @classmethod
    def read(cls, file: Path) -> _Asset:
        body = file.read_bytes()
        version = hashlib.sha256(body).hexdigest()[:32]
        headers = {
            "Content-Type": _type(file.name),
            "Cache-Control": "public, max-age=3600",
            "ETag": f'"{version}"',
            "X-Content-Type-Options": "nosniff",
        }
        if file.suffix.lower() == ".svg":
            # An SVG opened by itself is a document, which might bring scripts.
            policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
            headers["Content-Security-Policy"] = policy
        return cls(body, version, headers)

    async def answer(self, request: web.Request) -> web.Response:
        # RFC 9110 section 13.1.2: If-None-Match compares weakly; * is any.
        known = request.if_none_match or ()
        if any(tag.value in (self.version, "*") for tag in known):
            return web.Response(status=304, headers=self._unchanged())
        return web.Response(body=self.body, headers=self.headers)

    def _unchanged(self) -> dict[str, str]:
        # RFC 9110 section 15.4.5: what a 304 repeats.
        return {name: self.headers[name] for name in ("Cache-Control", "ETag")}


class _Links:
    """``url()`` of the templates.

    Paths begin with the issuer's: that is where the browser is, behind any proxy.  Our
    files carry their version, so that an upgrade shows at once.
    """

    def __init__(self, issuer: Issuer, versions: Mapping[str, str]) -> None:
        self._issuer = issuer
        self._known = {
            path: escape(f"{path}?v={version[:8]}")
            for path, version in versions.items()
        }

    def __call__(self, asset: str) -> Markup:
        if asset.startswith("/") or urlsplit(asset).scheme:
            return escape(asset)
        path = self._issuer.path(f"/{asset}")
        return self._known.get(path) or escape(path)


def _roots(frontend: Frontend) -> list[Path]:
    if not frontend.dir:
        return [_OURS]
    theirs = Path(frontend.dir)
    if not theirs.is_dir():
        raise ConfigError(
            f"frontend.dir: {theirs} is not a folder. Name one with templates/, "
            "static/ or themes/ in it, or leave it out for the built-in pages."
        )
    return [theirs, _OURS]


def _assets(roots: list[Path], theme: str, issuer: Issuer) -> dict[str, _Asset]:
    """Return every file by its path; of two for one path, the operator's."""
    if theme != Path("/", theme).resolve().name or not any(
        (root / "themes" / theme).is_dir() for root in roots
    ):
        places = " or ".join(str(root / "themes") for root in roots)
        raise ConfigError(
            f"frontend.theme: there is no theme {theme!r}: no such folder in {places}. "
            "The built-in themes are light, dark and auto."
        )
    found = {"/robots.txt": _OURS / "static" / "robots.txt"}
    for root in reversed(roots):
        # What a theme does not bring is taken from light.
        for folder, prefix in (
            (root / "themes" / "light", "/theme"),
            (root / "themes" / theme, "/theme"),
            (root / "static", "/static"),
        ):
            found.update((f"{prefix}/{name}", file) for name, file in _files(folder))
        if (root / "robots.txt").is_file():
            found["/robots.txt"] = root / "robots.txt"
    return {issuer.path(path): _Asset.read(file) for path, file in found.items()}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file below *folder*, by its path there, without the hidden ones."""
    for where, inner, names in os.walk(folder):
        # Kubernetes keeps the real files of a mounted ConfigMap in ..data.
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            file = Path(where, name)
            if not name.startswith(".") and file.is_file():
                yield file.relative_to(folder).as_posix(), file


def _own_logo(roots: list[Path], theme: str) -> str:
    for root in roots:
        for folder in (root / "themes" / theme, root / "themes" / "light"):
            for name in ("logo.svg", "logo.png"):
                if (folder / name).is_file():
                    return f"theme/{name}"
    raise ConfigError("the logo of the built-in theme is not installed")


def _type(name: str) -> str:
    return (
        _TYPES.get(Path(name).suffix.lower())
        or mimetypes.guess_type(name)[0]
        or "application/octet-stream"
    )


def _whose(name: str, theirs: list[Path]) -> str:
    """Return what the environment calls page *name*: theirs, if they have it, or ours.

    That is settled at start, whatever is put into their folders later.
    """
    overridden = any((each / name).is_file() for each in theirs)
    return name if overridden else f"dexcore/{name}"


def _environment(theirs: list[Path], **values: Any) -> jinja2.Environment:
    # Read now: they are compiled later, and an upgrade may replace the files meanwhile.
    texts = {name: file.read_text("utf-8") for name, file in _files(_TEMPLATES)}
    ours = jinja2.DictLoader(texts)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.ChoiceLoader(
            [
                jinja2.FileSystemLoader([str(folder) for folder in theirs]),
                ours,
                jinja2.PrefixLoader({"dexcore": ours}),
            ]
        ),
    )
    environment.globals.update(values, reason=_reason)
    return environment


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


# What only Go's templates have: {{ .Field }}, {{ $x }}, {{ if … }}, {{ url .Path "x" }}
_GO = re.compile(
    r"\{\{-?\s*(?:[.$]|/\*|(?:template|define|block|if|else|range|with|end)\b(?!\()"
    r"|[^}\"']*\s\.[A-Z]|\w+\s+\")[^}]*(?:\}\})?"
)


def _templates_in(folder: Path) -> list[str]:
    return [name for name, file in _files(folder) if file.suffix == ".html"]


def _check_templates(environment: jinja2.Environment, folder: Path) -> None:
    """Raise ``ConfigError`` for the first template in *folder* that is not Jinja2."""
    for name, file in sorted(_files(folder)):
        if file.suffix != ".html":
            continue
        try:
            text = file.read_text("utf-8")
            if go := _GO.search(text):
                line = text.count("\n", 0, go.start()) + 1
                raise ConfigError(
                    f"{file}, line {line}: {go.group()} is written for Go, as dex's "
                    "templates are. Ours are Jinja2: rewrite the page, or delete it to "
                    "get the built-in one; static/ and themes/ may stay."
                )
            environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            where = f"{error.filename or file}, line {error.lineno}"
            raise ConfigError(f"{where}: {error.message}") from error
        except (jinja2.TemplateNotFound, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{file}: {error}") from error


def _headers(name: str, logo: str) -> dict[str, str]:
    """Return the headers of page *name*, which allow what it needs."""
    images = "'self'" + _IMAGES.get(name, "") + _outside(logo)
    policy = _POLICY.format(images=images, scripts=_SCRIPTS.get(name, ""))
    return {
        **PAGE_HEADERS,
        "Content-Security-Policy": policy,
        "Content-Type": "text/html; charset=utf-8",
    }


def _outside(logo: str) -> str:
    """Return the source of the logo for the policy, if it is not one of our files."""
    parts = urlsplit(logo)
    if parts.netloc:
        return " " + (f"{parts.scheme}://" if parts.scheme else "") + parts.netloc
    return " data:" if parts.scheme == "data" else ""
