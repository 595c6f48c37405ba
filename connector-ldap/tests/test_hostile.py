"""Directories that are broken, slow or malicious: a clear error, soon, and no login."""

import pytest

from dexcore.connector import Scopes
from dexcore.errors import AccessDenied, UpstreamError, UpstreamUnavailable

BIND, SEARCH = 0x60, 0x63


def tlv(tag, *parts):
    """A value of BER (X.690 section 8.1)."""
    value = b"".join(parts)
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    size = len(value).to_bytes(4, "big")
    return bytes([tag, 0x84]) + size + value


def message(id, tag, *parts):
    return tlv(0x30, tlv(0x02, id.to_bytes(2, "big")), tlv(tag, *parts))


def result(id, tag, code, text=b"", more=b""):
    return message(id, tag, tlv(0x0A, bytes([code])), tlv(4), tlv(4, text), more)


def entry(id, dn=b"cn=jane", **attributes):
    made = [
        tlv(0x30, tlv(4, name.encode()), tlv(0x31, tlv(4, value)))
        for name, value in attributes.items()
    ]
    return message(id, 0x64, tlv(4, dn), tlv(0x30, *made))


def jane(id):
    return entry(id, uid=b"jane", cn=b"jane", mail=b"jane@example.org")


class Request:
    """What the connector asked: its id, and which operation."""

    def __init__(self, data):
        self.data = data
        start = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
        size = data[start + 1]
        self.id = int.from_bytes(data[start + 2 : start + 2 + size], "big")
        self.operation = data[start + 2 + size]


@pytest.fixture
def directory(hostile):
    """A directory that finds jane, but for *answers*: by operation, what it says."""

    def start(**answers):
        def talk(server, connection):
            while data := server.read(connection):
                request = Request(data)
                if request.operation == BIND:
                    ours = b"cn=admin" in data
                    name = "bind" if ours else "password"
                    usual = result(request.id, 0x61, 0)
                elif request.operation == SEARCH:
                    name = "search"
                    usual = jane(request.id) + result(request.id, 0x65, 0)
                else:
                    return
                answer = answers.get(name, usual)
                if callable(answer):
                    answer = answer(request)
                if answer is None:
                    return
                connection.sendall(answer)

        return hostile(talk)

    return start


@pytest.fixture
def log_in(connect, settings):
    async def log_in(server, patience=10.0, **keys):
        connector = await connect(settings(host=server.host, **keys), patience=patience)
        return await connector.login(Scopes(groups=True), "jane", "foo")

    return log_in


async def test_the_double_is_a_directory(directory, log_in):
    assert (await log_in(directory())).user_id == "jane"


# — it does not answer -----------------------------------------------------------------


@pytest.mark.parametrize("operation", ["bind", "search", "password"])
async def test_one_that_falls_silent(directory, log_in, operation):
    server = directory(**{operation: b""})
    with pytest.raises(UpstreamUnavailable, match=f"{server.host}.*no answer in time"):
        await log_in(server, patience=0.5)


async def test_a_late_answer_meets_no_other_question(directory, log_in, until):
    server = directory(password=b"")
    with pytest.raises(UpstreamUnavailable, match="no answer in time"):
        await log_in(server, patience=0.5)
    # The connection it was asked on is closed, though the connector goes on.
    await until(lambda: b"" in server.seen)


@pytest.mark.parametrize("operation", ["bind", "search", "password"])
async def test_one_that_hangs_up(directory, log_in, operation):
    server = directory(**{operation: None})
    with pytest.raises(UpstreamUnavailable, match="closed the connection"):
        await log_in(server)


async def test_one_that_never_says_anything(hostile, log_in):
    server = hostile(lambda server, connection: server.ended.wait(60))
    with pytest.raises(UpstreamUnavailable, match="no answer in time"):
        await log_in(server, patience=0.5)


async def test_one_that_drips(hostile, log_in):
    def talk(server, connection):
        server.read(connection)
        answer = result(1, 0x61, 0, text=b"x" * 10_000)
        for byte in answer:
            if server.ended.wait(0.05):
                return
            connection.sendall(bytes([byte]))

    # Each byte comes long before the deadline; the answer does not.
    with pytest.raises(UpstreamUnavailable, match="bind: no answer in time"):
        await log_in(hostile(talk), patience=0.5)


async def test_one_that_is_not_there(hostile, log_in):
    server = hostile(lambda server, connection: None)
    server.close()
    with pytest.raises(UpstreamUnavailable, match=f"{server.host}: connect: .*refused"):
        await log_in(server)


async def test_a_name_that_does_not_exist(connect, settings):
    connector = await connect(settings(host="no-such-host.invalid"))
    with pytest.raises(UpstreamUnavailable, match=r"no-such-host.invalid:389: connect"):
        await connector.login(Scopes(), "jane", "foo")


# — it answers nonsense ----------------------------------------------------------------

GARBAGE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x30\x80\x00\x00",  # a length that is not given
    b"\x30\x84\x7f\xff\xff\xff",  # two gigabytes
    b"\x30\x89" + b"\x01" * 9,
    b"\x30\x00",
    b"\x30\x03\x02\x01\x01",
    b"\x30\x05\x02\x01\x01\x61\x00",
    b"\x30" * 600,
    b"\x30\x82\x01\x00" + b"\x30\x7e" * 128,
    bytes(range(256)),
    b"\x30\x0c\x02\x01\x01\x61\x07\x04\x01\x00\x04\x00\x04\x00",  # a code that is text
]


@pytest.mark.parametrize("operation", ["bind", "search", "password"])
@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_garbage(directory, log_in, operation, garbage):
    server = directory(**{operation: garbage})
    # Half a message may also be the beginning of a whole one.
    with pytest.raises(UpstreamUnavailable, match=f"{server.host}: "):
        await log_in(server, patience=0.5)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: result(request.id + 1, 0x61, 0),  # to another request
        lambda request: result(request.id - 1, 0x61, 0),
        lambda request: result(request.id, 0x65, 0),  # to a search
        lambda request: result(request.id, 0x78, 0),  # to StartTLS
        lambda request: jane(request.id),
        lambda request: result(0, 0x78, 52),  # RFC 4511 section 4.4.1
        lambda request: message(request.id, 0x42),  # our own farewell
    ],
    ids=range(7),
)
async def test_an_answer_to_something_else_is_no_login(directory, log_in, answer):
    with pytest.raises(UpstreamUnavailable, match="bind: "):
        await log_in(directory(password=answer))


async def test_more_than_fits_into_memory(directory, log_in):
    big = entry(2, uid=b"jane", mail=b"x" * (5 << 20))
    with pytest.raises(UpstreamUnavailable, match="too large"):
        await log_in(directory(search=big))


async def test_much_more_than_anybody_needs(directory, log_in):
    def much(request):
        big = entry(request.id, uid=b"jane", mail=b"x" * (2 << 20))
        return big * 20 + result(request.id, 0x65, 0)

    with pytest.raises(UpstreamUnavailable, match="too large"):
        await log_in(directory(search=much))


async def test_entries_without_end(directory, log_in):
    def without_end(request):
        return jane(request.id) * 10_000

    with pytest.raises(UpstreamUnavailable, match="does not stop"):
        await log_in(directory(search=without_end), patience=5)


async def test_pages_without_end(directory, log_in):
    def endless(request):
        if b"(" not in request.data and b"member" not in request.data:
            return jane(request.id) + result(request.id, 0x65, 0)
        cookie = tlv(0x04, tlv(0x30, tlv(2, b"\0"), tlv(4, b"more")))
        control = tlv(0x30, tlv(4, b"1.2.840.113556.1.4.319"), cookie)
        done = tlv(0x65, tlv(0x0A, b"\0"), tlv(4), tlv(4))
        id = tlv(2, request.id.to_bytes(2, "big"))
        return b"".join(
            entry(request.id, f"cn={request.id}-{n}".encode(), cn=b"g")
            for n in range(500)
        ) + tlv(0x30, id, done, tlv(0xA0, control))

    groups = {
        "baseDN": "dc=example,dc=org",
        "userMatchers": [{"userAttr": "DN", "groupAttr": "member"}],
        "nameAttr": "cn",
    }
    server = directory(search=endless)
    with pytest.raises(UpstreamError, match="more than 5000 groups"):
        await log_in(server, groupSearch=groups)


async def test_a_name_that_is_no_text(directory, log_in):
    def search(request):
        return entry(request.id, b"\xff\xfe", uid=b"j") + result(request.id, 0x65, 0)

    with pytest.raises(UpstreamUnavailable, match="not LDAP"):
        await log_in(directory(search=search))


async def test_a_value_that_is_no_text(directory, log_in):
    def search(request):
        found = entry(request.id, uid=b"\xff\xfe", cn=b"jane", mail=b"j@example.org")
        return found + result(request.id, 0x65, 0)

    with pytest.raises(UpstreamError, match="the value of uid is not text"):
        await log_in(directory(search=search))


# — it sends us elsewhere --------------------------------------------------------------


@pytest.mark.parametrize("operation", ["bind", "search", "password"])
async def test_we_go_nowhere_with_a_password(directory, hostile, log_in, operation):
    elsewhere = hostile(lambda server, connection: server.read(connection))
    url = f"ldap://{elsewhere.host}/dc=example,dc=org".encode()
    tag = 0x65 if operation == "search" else 0x61

    def refer(request):
        return result(request.id, tag, 10, more=tlv(0xA3, tlv(4, url)))

    with pytest.raises(UpstreamError, match=r"referral \(10\)"):
        await log_in(directory(**{operation: refer}))
    assert elsewhere.connections == 0


async def test_references_among_what_is_found_are_left_alone(
    directory, hostile, log_in
):
    elsewhere = hostile(lambda server, connection: server.read(connection))

    def search(request):
        url = tlv(4, f"ldap://{elsewhere.host}/".encode())
        reference = message(request.id, 0x73, url)
        return reference + jane(request.id) + result(request.id, 0x65, 0)

    assert (await log_in(directory(search=search))).user_id == "jane"
    assert elsewhere.connections == 0


# — what it says of a password ---------------------------------------------------------


@pytest.mark.parametrize("code", [49, 19])
async def test_two_codes_mean_a_wrong_password(directory, log_in, code):
    answer = lambda request: result(request.id, 0x61, code)  # noqa: E731
    assert await log_in(directory(password=answer)) is None


@pytest.mark.parametrize("code", [0, 1, 19, 32, 49, 53])
async def test_whatever_it_says_about_nobody_is_a_wrong_name(directory, log_in, code):
    nobody = lambda request: result(request.id, 0x65, 0)  # noqa: E731
    answer = lambda request: result(request.id, 0x61, code)  # noqa: E731
    assert await log_in(directory(search=nobody, password=answer)) is None


async def test_unwilling_means_not_this_account(directory, log_in):
    def inactive(request):
        return result(request.id, 0x61, 53, b"Account inactivated.")

    with pytest.raises(AccessDenied, match="does not let this account"):
        await log_in(directory(password=inactive))


@pytest.mark.parametrize("code", [1, 2, 8, 13, 14, 32, 48, 50, 80, 127])
async def test_any_other_code_is_an_error_and_no_login(directory, log_in, code):
    answer = lambda request: result(request.id, 0x61, code, b"told\0\r\nwhy")  # noqa: E731
    with pytest.raises(UpstreamError, match=rf"\({code}\): told why"):
        await log_in(directory(password=answer))


@pytest.mark.parametrize("code", [51, 52])
@pytest.mark.parametrize("operation", ["bind", "search", "password"])
async def test_busy_means_later(directory, log_in, operation, code):
    tag = 0x65 if operation == "search" else 0x61
    answer = lambda request: result(request.id, tag, code)  # noqa: E731
    with pytest.raises(UpstreamUnavailable, match=rf"\({code}\)"):
        await log_in(directory(**{operation: answer}))


@pytest.mark.parametrize("code", [3, 11])
async def test_a_search_that_was_cut_short_finds_nobody(directory, log_in, code):
    def cut(request):
        return jane(request.id) + result(request.id, 0x65, code)

    with pytest.raises(UpstreamError, match=rf"search below .* \({code}\)"):
        await log_in(directory(search=cut))


async def test_more_than_the_server_gives_may_be_several(directory, log_in):
    def limited(request):
        return jane(request.id) + result(request.id, 0x65, 4)

    with pytest.raises(UpstreamError, match="several entries"):
        await log_in(directory(search=limited))
