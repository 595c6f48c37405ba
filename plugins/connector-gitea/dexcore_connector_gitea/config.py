"""What ``config:`` of a ``gitea`` connector may say."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from dexcore.options import InvalidOption, option


@attrs.frozen
class Org:
    """An organization whose members may log in."""

    name: str = option(help="As Gitea shows it.")
    teams: tuple[str, ...] = option(
        (), help="Only members of one of these teams; empty: every member of a team."
    )

    def __attrs_post_init__(self) -> None:
        if not self.name:
            raise InvalidOption(
                "name is empty", key="name", remedy="Name the organization."
            )


@attrs.frozen
class Config:
    """Which Gitea, who we are there, and who may log in."""

    client_id: str = option(key="clientID", help="Of our application at Gitea.")
    client_secret: str = option("", secret=True, help="Of our application at Gitea.")
    redirect_uri: str = option(
        "",
        key="redirectURI",
        help="Where browsers come back; empty: the issuer with /callback.",
    )
    base_url: str = option("https://gitea.com", key="baseURL", help="Where Gitea is.")
    orgs: tuple[Org, ...] = option(
        (), help="Who is in none of these may not log in; empty: everybody may."
    )
    load_all_groups: bool = option(
        False, help="Groups are all organizations and teams of the end user."
    )
    use_login_as_id: bool = option(
        False,
        key="useLoginAsID",
        help="Identify people by their user name, which they can change and give away.",
    )
    root_cas: tuple[str, ...] = option(
        (),
        key="rootCAs",
        help="Whom to trust beside the system's authorities: files, PEM, or base64.",
    )

    def __attrs_post_init__(self) -> None:
        if not self.client_id:
            raise InvalidOption(
                "clientID is empty",
                key="clientID",
                remedy="Register an application at Gitea and write its client id.",
            )
        if self.base_url and not _absolute(self.base_url):
            raise InvalidOption(
                "baseURL is no http or https address",
                key="baseURL",
                remedy="Write it with its scheme: https://gitea.example.com.",
            )


def _absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
