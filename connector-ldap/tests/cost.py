"""What a login costs us: ``python connector-ldap/tests/cost.py``, with slapd installed.

Prints the median of our process's CPU time, in milliseconds, for the same login many
times, one after the other, against a slapd of its own.  It is no test: it only tells.
"""

import asyncio
import importlib.util
import logging
import statistics
import time

from pathlib import Path

from dexcore_connector_ldap import Config, open_ldap

from dexcore.config import structure
from dexcore.connector import ConnectorContext, Scopes
from dexcore.storage import Collections

TIMES = 600
GROUPS = {
    "baseDN": "ou=Groups,dc=example,dc=org",
    "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
    "nameAttr": "cn",
}


async def measure(section, scopes):
    context = ConnectorContext("cost", Collections(), logging.getLogger("cost"))
    connector = await open_ldap(structure(section, Config), context)
    costs = []
    for _ in range(TIMES):
        before = time.process_time()
        assert await connector.login(scopes, "jane", "foo")
        costs.append(time.process_time() - before)
    await connector.close()
    return statistics.median(costs[20:]) * 1000


def main():
    logging.disable()
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("ldap_conftest", path)
    servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    people = path.with_name("people.ldif").read_text("utf-8")
    with servers.folder("cost") as place, servers.folder("certificates") as files:
        certificates = servers.Certificates(files)
        server = servers.Slapd(place, certificates, people)
        common = {
            "bindDN": servers.ADMIN,
            "bindPW": servers.ADMIN_PASSWORD,
            "userSearch": servers.PEOPLE,
            "groupSearch": GROUPS,
        }
        plain = {**common, "host": server.host, "insecureNoSSL": True}
        tls = {**common, "host": server.tls_host, "rootCA": certificates.ca}
        with servers.started(server):
            for name, section, scopes in (
                ("without TLS", plain, Scopes()),
                ("with TLS", tls, Scopes()),
                ("with TLS and groups", tls, Scopes(groups=True)),
            ):
                print(f"{name}: {asyncio.run(measure(section, scopes)):.2f} ms")


if __name__ == "__main__":
    main()
