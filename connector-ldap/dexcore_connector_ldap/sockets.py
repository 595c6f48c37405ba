"""The way to a server, and the frame of its messages.  Blocking, but not for long."""

from __future__ import annotations

import socket
import time

from .addresses import Address
from .codec import Malformed

#: What one message may have in bytes: an entry with ten thousand values fits, a server
#: gone mad does not fill our memory.
LARGEST_MESSAGE = 4 << 20


def connect(address: Address, until: float) -> socket.socket:
    """Return a socket that is connected to *address*.  Raises ``OSError``."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, where) in enumerate(found, 1):
        sock = socket.socket(family, kind, protocol)
        try:
            # Each of a name's addresses gets its share of the time.
            sock.settimeout(time_left(until) / (len(found) - number + 1))
            sock.connect(where)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return sock
        except BaseException as error:
            sock.close()
            if number == len(found) or not isinstance(error, OSError):
                raise
    raise OSError("the name has no address")


def time_left(until: float) -> float:
    """Return the seconds until *until*; raise ``TimeoutError`` if it has passed."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def message_size(data: bytearray) -> int:
    """Return how long the message is that *data* begins with.

    That is more than *data* has as long as we cannot know.  Raises ``Malformed``.
    """
    if len(data) < 2:
        return 2 + 1
    if data[0] != 0x30:
        raise Malformed("what it answers is not LDAP")
    length = data[1]
    if length < 0x80:
        return 2 + length
    count = length & 0x7F
    # RFC 4511 section 5.1: the length is always given, and four bytes are plenty.
    if not 1 <= count <= 4:
        raise Malformed("what it answers is not LDAP")
    if len(data) < 2 + count:
        return 2 + count + 1
    size = 2 + count + int.from_bytes(data[2 : 2 + count], "big")
    if size > LARGEST_MESSAGE:
        raise Malformed("the answer is too large")
    return size
