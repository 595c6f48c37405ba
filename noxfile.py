"""What one runs here: ``nox -s serve``, ``nox -s tests`` and the rest.

Every session installs what it needs into an environment of its own.
"""

from __future__ import annotations

import shutil
import tomllib

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2026.4"

DISTRIBUTIONS = {
    path.parent.name: path.parent
    for path in sorted(
        [
            *Path().glob("storage-*/pyproject.toml"),
            *Path().glob("connector-*/pyproject.toml"),
            *Path().glob("plugins/*/pyproject.toml"),
        ]
    )
}

# Extras that are compiled when they are installed.
COMPILED = {"kerberos"}

TEST = [
    # Compiled when it is installed, with libkrb5-dev: nobody else should have to.
    *(["gssapi>=1.12,<2"] if shutil.which("krb5-config") else []),
    "hatchling>=1.27",
    "hypothesis>=6.150",
    "jsonschema>=4.26",
    "pip>=24",
    "playwright>=1.60,<2",
    "pytest>=9,<10",
    "pytest-aiohttp>=1.1,<2",
    "pytest-asyncio>=1.4,<2",
    "pytest-cov>=7",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.8",
    "trustme>=1.2.1",
]
# The client libraries that log in against us.
CLIENTS = [
    "authlib>=1.6",
    "flask>=3.1",
    "kubernetes>=35",
    "mozilla-django-oidc>=5",
    "pyjwt[crypto]>=2.10",
    "requests>=2.32",
    "requests-oauthlib>=2",
]
# Each worker begins with what stands together, since it shares servers; whoever has
# nothing left to do takes from the others.
PARALLEL = ["-n", "auto", "--dist", "worksteal"]
TYPES = [
    "mypy>=2.4,<3",
    "types-lxml",
    "types-pyyaml",
    "types-requests",
    "types-jsonschema",
    "playwright>=1.60,<2",
]
LINT = ["ruff>=0.17,<0.18"]


def everything() -> list[str]:
    """Return pip's arguments for the core and every distribution, editable."""
    return [
        argument
        for folder in (".[speed]", *map(with_extras, DISTRIBUTIONS.values()))
        for argument in ("-e", folder)
    ]


def with_extras(path: Path) -> str:
    """Return the distribution in the folder *path*, with all it may use."""
    project = tomllib.loads((path / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    extras = ",".join(extra for extra in optional if extra not in COMPILED)
    return f"./{path}[{extras}]" if extras else f"./{path}"


@nox.session
def serve(session: nox.Session) -> None:
    """Serve the example configuration and the example app, until Ctrl-C."""
    session.install(*everything())
    _run(session, "examples/serve.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test, of the core and of every distribution."""
    session.install(*everything(), *TEST, *CLIENTS)
    arguments = session.posargs or [
        *PARALLEL,
        "--cov",
        "--cov-report=term:skip-covered",
        "--cov-fail-under=95",
    ]
    _run(session, "-m", "pytest", *arguments)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style."""
    session.install(*LINT)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, in every distribution."""
    session.install(*everything(), *TYPES, "pytest>=9,<10", "nox")
    session.run("mypy", "dexcore", "bench", "examples/serve.py", "examples/example_app")
    session.run("mypy", "dev.py", "noxfile.py")
    for path in DISTRIBUTIONS.values():
        for package in path.glob("dexcore_*"):
            session.run("mypy", str(package))


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies we promise to work with."""
    session.install(*everything(), "--resolution", "lowest-direct")
    session.install(*TEST, *CLIENTS)
    tests = [*PARALLEL, "--ignore=tests/clients", *session.posargs]
    _run(session, "-m", "pytest", *tests)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure; arguments go to ``python -m bench``."""
    session.install(*everything())
    session.run("python", "-m", "bench", *(session.posargs or ["start"]))


@nox.session
def keycloak(session: nox.Session) -> None:
    """Log in with a real Keycloak, fetched from Maven Central: needs Java and Maven."""
    session.install(*everything(), *TEST)
    folders = [str(path) for path in sorted(Path().glob("connector-*/tests/keycloak"))]
    _run(session, "-m", "pytest", *(session.posargs or folders))


def _run(session: nox.Session, *arguments: str) -> None:
    # Tests start hundreds of processes: one of them compiles, for all of them.
    environment = {"PYTHONDONTWRITEBYTECODE": None}
    # Seconds after Ctrl-C: servers drain, tests stop the servers they started.
    session.run(
        "python",
        *arguments,
        env=environment,
        interrupt_timeout=60,
        terminate_timeout=30,
    )


def _alone(name: str, path: Path) -> None:
    @nox.session(name=f"tests-{name}")
    def alone(session: nox.Session) -> None:
        memory = ["-e", "./storage-memory"] if name.startswith("connector-") else []
        session.install("-e", ".", *memory, "-e", with_extras(path), *TEST)
        _run(session, "-m", "pytest", str(path), *session.posargs)

    alone.__doc__ = f"Run the tests of {name} with the core and what they need."


for _name, _path in DISTRIBUTIONS.items():
    _alone(_name, _path)
