"""What every connector must do, this one against OpenLDAP and an MIT Kerberos realm."""

import pytest

from dexcore.testing.connector import (
    LiveRefreshContract,
    NegotiateContract,
    PasswordContract,
    UpstreamContract,
)

JANE = "cn=jane,ou=People,dc=example,dc=org"
GROUPS = {
    "baseDN": "ou=Groups,dc=example,dc=org",
    "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
    "nameAttr": "cn",
}


class TestPasswords(UpstreamContract, PasswordContract, LiveRefreshContract):
    """With a name and a password, in a directory that can be in trouble."""

    type = "ldap"
    username, password = "jane", "foo"
    troubles = ("down", "slow", "drip", "html")

    @pytest.fixture
    def upstream(self, make_slapd, make_relay):
        return make_relay(make_slapd())

    @pytest.fixture
    def config(self, settings, upstream):
        return settings(upstream, groupSearch=GROUPS)

    async def change(self, upstream):
        upstream.modify(
            "dn: cn=developers,ou=Groups,dc=example,dc=org\nchangetype: modify\n"
            f"delete: member\nmember: {JANE}\n"
        )

    async def remove(self, upstream):
        upstream.modify(f"dn: {JANE}\nchangetype: delete\n")


class TestTickets(PasswordContract, NegotiateContract):
    """With a ticket of Kerberos, too."""

    type = "ldap"
    username, password = "jane", "foo"

    @pytest.fixture
    def config(self, settings, http_keytab):
        kerberos = {
            "enabled": True,
            "keytabPath": http_keytab,
            "expectedRealm": "EXAMPLE.ORG",
            "fallbackToPassword": True,
        }
        return settings(groupSearch=GROUPS, kerberos=kerberos)

    @pytest.fixture
    def upstream(self, realm, any_ticket):
        """What makes jane's tickets."""
        realm("jane")
        return any_ticket

    async def authorization(self, upstream):
        return upstream()
