"""What ``config:`` of a ``github`` connector may say."""

from __future__ import annotations

from typing import Literal

import attrs

from dexcore.options import InvalidOption, option

GITHUB = "github.com"

TeamNameField = Literal["", "name", "slug", "both"]


@attrs.frozen
class Org:
    """An organization whose members may log in."""

    name: str = option(help="As GitHub shows it.")
    teams: tuple[str, ...] = option(
        (), help="Only members of one of these teams; empty: every member."
    )

    def __attrs_post_init__(self) -> None:
        if not self.name:
            raise InvalidOption(
                "name is empty", key="name", remedy="Name the organization."
            )


@attrs.frozen
class Config:
    """Who we are at GitHub, and who may log in."""

    client_id: str = option(key="clientID", help="Of our app at GitHub.")
    client_secret: str = option("", secret=True, help="Of our app at GitHub.")
    redirect_uri: str = option(
        "",
        key="redirectURI",
        help="Where browsers come back; empty: the issuer with /callback.",
    )
    org: str = option(
        "",
        help="Old: one organization; its teams are groups without its name. See orgs.",
    )
    orgs: tuple[Org, ...] = option(
        (), help="Who is in none of these may not log in; empty: everybody may."
    )
    load_all_groups: bool = option(
        False, help="Groups are all organizations and teams of the end user."
    )
    host_name: str = option("", help="Of a GitHub Enterprise Server.")
    root_ca: str = option(
        "",
        key="rootCA",
        help="Who signs its certificate: a file, PEM text, or that in base64.",
    )
    team_name_field: TeamNameField = option("", help="What names a team: its name.")
    use_login_as_id: bool = option(
        False,
        key="useLoginAsID",
        help="Identify people by their login, which they can change and give away.",
    )
    preferred_email_domain: str = option(
        "", help="Take an address there if there is one; a label may be *."
    )

    @property
    def enterprise(self) -> bool:
        """Whether this is a GitHub Enterprise Server."""
        return self.host_name not in ("", GITHUB)

    @property
    def restricted(self) -> bool:
        """Whether only members of some organizations may log in."""
        return bool(self.org or self.orgs)

    def __attrs_post_init__(self) -> None:
        if not self.client_id:
            raise InvalidOption(
                "clientID is empty",
                key="clientID",
                remedy="Register an OAuth app at GitHub and write its client id.",
            )
        if self.org and self.orgs:
            raise InvalidOption(
                "org and orgs exclude each other",
                key="org",
                remedy="Name all organizations in orgs.",
            )
        if "/" in self.host_name:
            raise InvalidOption(
                "hostName is more than a host",
                key="hostName",
                remedy="Write the name alone, without https:// and path.",
            )
        if self.root_ca and not self.enterprise:
            raise InvalidOption(
                "rootCA is only for a GitHub Enterprise Server",
                key="rootCA",
                remedy="Name the server in hostName, or leave rootCA out.",
            )
        if self.preferred_email_domain.endswith("*"):
            raise InvalidOption(
                'a domain pattern cannot end with "*"',
                key="preferredEmailDomain",
                remedy="Write the last label: *.example.com.",
            )
