"""What ``config:`` of a ``gitlab`` connector may say."""

from __future__ import annotations

from urllib.parse import urlsplit

import attrs

from dexcore.options import InvalidOption, option


@attrs.frozen
class Config:
    """Which GitLab, who we are there, and who may log in."""

    client_id: str = option(key="clientID", help="Of our application at GitLab.")
    client_secret: str = option("", secret=True, help="Of our application at GitLab.")
    redirect_uri: str = option(
        "",
        key="redirectURI",
        help="Where browsers come back; empty: the issuer with /callback.",
    )
    base_url: str = option("https://gitlab.com", key="baseURL", help="Where GitLab is.")
    groups: tuple[str, ...] = option(
        (), help="Who is in none of these may not log in; they are the only groups."
    )
    use_login_as_id: bool = option(
        False,
        key="useLoginAsID",
        help="Identify people by their user name, which they can change and give away.",
    )
    get_groups_permission: bool = option(
        False, help="Add group:owner and the like for what people are in each group."
    )
    inherited_groups: bool = option(
        False, help="Ask the API, which also knows groups that people inherit."
    )
    root_ca_data: str = option(
        "", key="rootCAData", help="Who signs its certificate: PEM in base64."
    )

    def __attrs_post_init__(self) -> None:
        if not self.client_id:
            raise InvalidOption(
                "clientID is empty",
                key="clientID",
                remedy="Register an application at GitLab and write its id.",
            )
        if self.base_url and not _absolute(self.base_url):
            raise InvalidOption(
                "baseURL is no http or https address",
                key="baseURL",
                remedy="Write it with its scheme: https://gitlab.example.com.",
            )


def _absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
