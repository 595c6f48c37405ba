"""From the text of a file to :class:`Config`: every problem in one run."""

from __future__ import annotations

import os
import pathlib

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..storage import Client, Password
from .convert import Structurer, log
from .document import Items, Mark, Section, parse
from .environment import expand_section
from .findings import Findings, Path
from .flags import Flags
from .model import (
    CLIENT_CREDENTIALS,
    CODE_CHALLENGE_METHODS,
    GRANT_TYPES,
    HEADERS,
    Config,
    ConnectorEntry,
    Expiry,
    Frontend,
    OAuth2,
    PKCEOptions,
    Plugged,
    Sessions,
    StaticClient,
    StaticPassword,
    Web,
)
from .problems import ConfigProblems, Position, Problem, errors_of, problem
from .static import Reporter, client_of, password_of
from .subjects import with_salt
from .validate import response_type, validate

#: dex's themes that are other names of ours.
_THEMES = {"coreos": "light", "tectonic": "light", "": "light"}
_NONE: Mapping[str, str] = {}


@attrs.frozen
class Reading:
    """What a file says, and everything that is wrong with it.

    If there are errors, ``config`` has empty values where they are: good for looking
    for more problems, never for serving.
    """

    config: Config
    findings: Findings
    flags: Flags

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems, in the order of the file."""
        return tuple(sorted(self.findings.problems, key=lambda each: each.position))

    def checked(self) -> Config:
        """Return the configuration; raise :class:`ConfigProblems` if it has errors."""
        errors = errors_of(self.problems)
        if errors:
            raise ConfigProblems(errors)
        return self.config


def load(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = _NONE,
) -> Config:
    """Return the configuration in the file at *path*.

    *overrides* are values of the command line by dotted key (``web.http``); empty ones
    do not count.  Warnings are logged.  Raises :class:`ConfigProblems` with everything
    that is wrong.
    """
    return _logged(read(path, environ=environ, overrides=overrides))


def loads(
    text: str,
    *,
    name: str = "<config>",
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = _NONE,
) -> Config:
    """Return the configuration in *text*, of the file *name*, as :func:`load` does."""
    return _logged(reads(text, name=name, environ=environ, overrides=overrides))


def read(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = _NONE,
) -> Reading:
    """Read the file at *path*.

    Raises :class:`ConfigProblems` only if there is no text to read.
    """
    name = os.fspath(path)
    return reads(_text(name), name=name, environ=environ, overrides=overrides)


def reads(
    text: str,
    *,
    name: str = "<config>",
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = _NONE,
) -> Reading:
    """Read *text*; never raises for what is in it."""
    flags = Flags.from_environ(environ)
    root, problems = parse(text, name, strict=flags.config_disallow_unknown_fields)
    if errors_of(problems) and not root:
        nothing = Config(issuer="", storage=Plugged())
        return Reading(nothing, Findings(root, problems), flags)
    _override(root, environ, overrides)
    _listed(root, "signup")
    if flags.expand_env:
        problems += _expand(root, environ)
    _read_strictly(root, "subjects")
    _read_strictly(root, "registration")
    structurer = _structurer(environ)
    config = structurer.make(root, Config)
    found = Findings(root, [*problems, *structurer.problems], structurer.broken)
    subjects = with_salt(config.subjects, environ, found)
    config = attrs.evolve(config, subjects=subjects)
    validate(config, flags, found)
    return Reading(_complete(config, flags, found), found, flags)


def _logged(reading: Reading) -> Config:
    config = reading.checked()
    for each in reading.problems:
        log.warning("%s", each)
    return config


def _text(name: str) -> str:
    try:
        return pathlib.Path(name).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        at = Position(name, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        found = problem(at, "the file is not UTF-8", "Save it as UTF-8.")
    except OSError as error:
        why = error.strerror or "cannot be read"
        found = problem(
            Position(name),
            f"the file cannot be read: {why}",
            "Check its path and its permissions.",
        )
    raise ConfigProblems([found])


# — Before structuring -----------------------------------------------------------------


def _override(
    root: Section, environ: Mapping[str, str], overrides: Mapping[str, str]
) -> None:
    for key, value in overrides.items():
        if value:
            root.put(key.split("."), value, f"<{key} of the command line>")
    folder = environ.get("DEX_FRONTEND_DIR", "")
    if folder and not Findings(root, []).value(("frontend", "dir")):
        root.put(["frontend", "dir"], folder, "<DEX_FRONTEND_DIR>")


def _listed(root: Section, name: str) -> None:
    """Make a list of what may be written as one section."""
    key = root.find(name)
    if key is not None and isinstance(root[key], Section):
        at = root.key_position(key)
        root[key] = Items([root[key]], [Mark(at, at)])


def _expand(root: Section, environ: Mapping[str, str]) -> list[Problem]:
    problems: list[Problem] = []
    for owner in _plugged(root):
        key = owner.find("config")
        if key is not None and isinstance(owner[key], Section):
            owner[key], unset = expand_section(owner[key], environ)
            problems += unset
    key = root.find("registration")
    if key is not None and isinstance(root[key], Section):
        root[key], unset = expand_section(root[key], environ)
        problems += unset
    return problems


def _plugged(root: Section) -> Iterator[Section]:
    """Return the sections that have a plugin's ``config`` with variables in it."""
    for name in ("storage", "signer", "connectors", "signup"):
        key = root.find(name)
        value = None if key is None else root[key]
        for each in value if isinstance(value, Items) else [value]:
            if isinstance(each, Section):
                yield each


# — Structuring ------------------------------------------------------------------------


def _structurer(environ: Mapping[str, str]) -> Structurer:
    structurer = Structurer(placeholders=True)

    def report(section: Section) -> Reporter:
        found = Findings(section, structurer.problems, structurer.broken)
        return Reporter(
            lambda key, message, remedy: found.error(_path(key), message, remedy),
            lambda key, message, remedy: found.warn(_path(key), message, remedy),
        )

    def client(value: Any, _: type[Client]) -> Client:
        _read_strictly(value, "metadata")
        written = structurer.structure(value, StaticClient)
        return client_of(written, environ, report(value))

    def password(value: Any, _: type[Password]) -> Password:
        written = structurer.structure(value, StaticPassword)
        return password_of(written, environ, report(value))

    structurer.hooks |= {Client: client, Password: password}
    return structurer


def _path(key: str) -> Path:
    return tuple(key.split("."))


def _read_strictly(value: Any, name: str) -> None:
    """Make unknown keys errors in the section *name* of *value*, if it has one.

    What dex does not know nobody has written by mistake for years.
    """
    if isinstance(value, Section) and (key := value.find(name)) is not None:
        section = value[key]
        if isinstance(section, Section):
            section.strict = True


# — Defaults that depend on others -----------------------------------------------------


def _complete(config: Config, flags: Flags, found: Findings) -> Config:
    return attrs.evolve(
        config,
        web=_web(config.web),
        frontend=_frontend(config.frontend),
        oauth2=_oauth2(config.oauth2, flags, found),
        expiry=_expiry(config.expiry),
        logger=attrs.evolve(
            config.logger,
            level=config.logger.level.upper(),
            format=config.logger.format.lower(),
        ),
        signer=_signer(config, found),
        sessions=config.sessions or (Sessions() if flags.sessions_enabled else None),
        connectors=_connectors(config),
        signup=_signup(config),
    )


def _web(web: Web) -> Web:
    spellings = {name.lower(): name for name in HEADERS}
    return attrs.evolve(
        web,
        headers={
            spellings[name.lower()]: value
            for name, value in web.headers.items()
            if value and name.lower() in spellings
        },
        allowed_headers=web.allowed_headers or Web().allowed_headers,
    )


def _frontend(frontend: Frontend) -> Frontend:
    plain = Frontend()
    return attrs.evolve(
        frontend,
        theme=_THEMES.get(frontend.theme, frontend.theme),
        issuer=frontend.issuer or plain.issuer,
        logo_url=frontend.logo_url or plain.logo_url,
    )


def _oauth2(oauth2: OAuth2, flags: Flags, found: Findings) -> OAuth2:
    pkce = oauth2.pkce
    return attrs.evolve(
        oauth2,
        grant_types=_grant_types(oauth2, flags, found),
        response_types=tuple(
            response_type(each) or each for each in oauth2.response_types
        )
        or OAuth2().response_types,
        pkce=PKCEOptions(
            pkce.enforce,
            pkce.code_challenge_methods_supported or CODE_CHALLENGE_METHODS,
        ),
    )


def _grant_types(oauth2: OAuth2, flags: Flags, found: Findings) -> tuple[str, ...]:
    """Return the known ones of the file; none given means the default."""
    if found.value(("oauth2", "grantTypes")):
        known = (*GRANT_TYPES, CLIENT_CREDENTIALS)
        return tuple(each for each in oauth2.grant_types if each in known)
    if flags.client_credential_grant_enabled_by_default:
        return (*GRANT_TYPES, CLIENT_CREDENTIALS)
    return GRANT_TYPES


def _expiry(expiry: Expiry) -> Expiry:
    plain = Expiry()
    return attrs.evolve(
        expiry,
        auth_requests=expiry.auth_requests or plain.auth_requests,
        device_requests=expiry.device_requests or plain.device_requests,
        signing_keys=expiry.signing_keys or plain.signing_keys,
    )


def _signer(config: Config, found: Findings) -> Plugged:
    """Return the signer; a file without one may still say how often keys change."""
    if found.given(("signer",)) or not found.given(("expiry", "signingKeys")):
        return config.signer
    period = found.value(("expiry", "signingKeys"))
    at = found.at(("expiry", "signingKeys"))
    mark = Mark(at, at, str(period))
    name = "keysRotationPeriod"
    return Plugged("local", Section({name: str(period)}, at=at, marks={name: mark}))


def _connectors(config: Config) -> tuple[ConnectorEntry, ...]:
    if not config.enable_password_db:
        return config.connectors
    return (*config.connectors, ConnectorEntry("local", "local", "Email"))


def _signup(config: Config) -> tuple[Plugged, ...]:
    return tuple(
        each if each.type else attrs.evolve(each, type="default")
        for each in config.signup
    )
