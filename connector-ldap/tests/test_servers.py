"""Connections that are kept, servers that take over, and a queue that ends."""

import asyncio
import logging
import re
import signal
import threading

import pytest

from dexcore_connector_ldap import Config, workers
from dexcore_connector_ldap.connector import LdapConnector
from dexcore_connector_ldap.directory import Directory
from dexcore_connector_ldap.servers import Account, Server, Servers
from dexcore_connector_ldap.wire import Security

from dexcore.config import structure
from dexcore.connector import Scopes
from dexcore.errors import UpstreamUnavailable


def operations(log):
    """What slapd was asked, in order."""
    found = re.findall(
        r'\b(ACCEPT)\b|(BIND) dn="[^"]*" method|(SRCH) base|\b(UNBIND|closed)\b', log
    )
    return ["".join(each) for each in found]


async def logs_in(connector, username="jane", password="foo"):
    return await connector.login(Scopes(), username, password) is not None


# — connections ------------------------------------------------------------------------


async def test_a_login_costs_a_search_and_a_bind(connect, settings, make_slapd):
    server = make_slapd()
    connector = await connect(settings(server))
    mark = server.mark()
    assert await logs_in(connector)
    assert operations(server.log_since(mark)) == [
        "ACCEPT",
        "BIND",  # our own account
        "SRCH",
        "ACCEPT",
        "BIND",  # jane
    ]
    mark = server.mark()
    assert await logs_in(connector)
    assert not await logs_in(connector, "jane", "wrong")
    assert await logs_in(connector, "john", "bar")
    assert operations(server.log_since(mark)) == ["SRCH", "BIND"] * 3


async def test_nothing_is_searched_with_somebodys_rights(connect, settings, slapd):
    connector = await connect(settings())
    mark = slapd.mark()
    for _ in range(3):
        assert await logs_in(connector)
    log = slapd.log_since(mark)
    searching = set(re.findall(r"(conn=\d+) op=\d+ SRCH", log))
    people = set(re.findall(r'(conn=\d+) op=\d+ BIND dn="cn=jane', log))
    assert searching
    assert people
    assert not searching & people


async def test_a_connection_that_broke_while_idle_is_replaced(
    connect, settings, make_slapd
):
    server = make_slapd()
    connector = await connect(settings(server))
    for _ in range(2):
        assert await logs_in(connector)
        server.stop()
        server.start()
    assert await logs_in(connector)


async def test_a_server_that_closes_idle_connections_is_no_trouble(
    connect, settings, make_slapd, until
):
    server = make_slapd(options="idletimeout 1")
    connector = await connect(settings(server))
    assert await logs_in(connector)
    mark = server.mark()
    await until(lambda: server.log_since(mark).count("(idletimeout)") >= 2)
    assert await logs_in(connector)


async def test_connections_that_nobody_uses_are_closed(settings, make_slapd, until):
    server = make_slapd()
    config = structure(settings(server), Config)
    account = Account(config.bind_dn, config.bind_pw.encode())
    only = Server(config.addresses[0], Security, account)
    directory = Directory(config, Servers([only], idle=0.1))
    log = logging.getLogger("test")
    connector = LdapConnector(config, directory, workers.Workers("test", 10.0), log)
    mark = server.mark()
    assert await logs_in(connector)
    await until(lambda: operations(server.log_since(mark)).count("closed") == 2)
    assert operations(server.log_since(mark)).count("UNBIND") == 2
    assert await logs_in(connector)
    await connector.close()


async def test_what_is_left_open_is_closed_in_the_end(
    connect, settings, make_slapd, until
):
    server = make_slapd()
    connector = await connect(settings(server))
    assert await logs_in(connector)
    mark = server.mark()
    await connector.close()
    await until(lambda: operations(server.log_since(mark)).count("closed") >= 2)
    assert operations(server.log_since(mark)).count("UNBIND") == 2
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await logs_in(connector)


async def test_closing_ends_what_hangs(connect, settings, hostile, until):
    server = hostile(lambda server, connection: server.ended.wait(60))
    connector = await connect(settings(host=server.host), patience=60.0)
    waiting = asyncio.create_task(logs_in(connector))
    await until(lambda: server.connections)
    await connector.close()
    with pytest.raises(UpstreamUnavailable):
        await waiting


# — several servers --------------------------------------------------------------------


async def test_the_next_server_is_asked_if_one_is_down(
    connect, settings, slapd, hostile
):
    dead = hostile(lambda server, connection: None)
    dead.close()
    connector = await connect(settings(host=f"{dead.host}, {slapd.host}"))
    assert await logs_in(connector)


async def test_a_server_that_is_down_is_not_asked_first_again(
    connect, settings, slapd, hostile
):
    rude = hostile(lambda server, connection: None)  # hangs up
    connector = await connect(settings(host=[rude.host, slapd.host]))
    for _ in range(5):
        assert await logs_in(connector)
    assert rude.connections == 1


async def test_a_server_that_hangs_leaves_time_for_the_next(
    connect, settings, slapd, hostile
):
    silent = hostile(lambda server, connection: server.ended.wait(60))
    connector = await connect(settings(host=[silent.host, slapd.host]), patience=1.0)
    for _ in range(3):
        assert await logs_in(connector)
    assert silent.connections == 1


async def test_servers_take_over_from_each_other(connect, settings, make_slapd):
    one, other = make_slapd(), make_slapd()
    connector = await connect(settings(host=[one.host, other.host]))
    assert await logs_in(connector)
    one.stop()
    assert await logs_in(connector)
    one.start()
    other.stop()
    assert await logs_in(connector)
    one.stop()
    with pytest.raises(UpstreamUnavailable) as caught:
        await logs_in(connector)
    assert one.host in str(caught.value)
    assert other.host in str(caught.value)


async def test_a_server_that_stops_in_the_middle_is_noticed(
    connect, settings, make_slapd
):
    one, other = make_slapd(), make_slapd()
    connector = await connect(settings(host=[one.host, other.host]), patience=2.0)
    assert await logs_in(connector)
    one.send(signal.SIGSTOP)  # half open: it takes what it is sent
    try:
        assert await logs_in(connector)
    finally:
        one.send(signal.SIGCONT)


# — threads ----------------------------------------------------------------------------


async def test_a_directory_that_hangs_has_its_own_threads_and_a_queue_that_ends(
    connect, settings, hostile, until
):
    silent = hostile(lambda server, connection: server.ended.wait(60))
    connector = await connect(settings(host=silent.host), patience=30.0)
    places = workers.THREADS + workers.QUEUE
    waiting = [asyncio.create_task(logs_in(connector)) for _ in range(places)]
    await until(lambda: silent.connections == workers.THREADS)
    with pytest.raises(UpstreamUnavailable, match="Too many are waiting"):
        await logs_in(connector)
    # Whatever else needs a thread gets one, and the loop goes on.
    assert await asyncio.to_thread(lambda: "done") == "done"
    assert not any(task.done() for task in waiting)
    ours = [each for each in threading.enumerate() if each.name.startswith("ldap-")]
    assert len(ours) == workers.THREADS
    assert silent.connections == workers.THREADS
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    # Those whose turn had not come have left the queue.
    again = asyncio.create_task(logs_in(connector))
    await asyncio.sleep(0)
    assert not again.done()
    await connector.close()
    with pytest.raises((UpstreamUnavailable, asyncio.CancelledError)):
        await again


async def test_whoever_waits_too_long_for_a_turn_is_told():
    ran = []
    free = threading.Event()
    pool = workers.Workers("test", timeout=0.05, threads=1)
    first = asyncio.create_task(pool.run(lambda until: free.wait(60)))
    second = asyncio.create_task(pool.run(ran.append))
    await asyncio.sleep(0.1)  # longer than both may take
    free.set()
    assert await first
    with pytest.raises(UpstreamUnavailable, match="for too long"):
        await second
    assert ran == []
    pool.close()
