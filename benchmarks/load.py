"""A load client: connections that each send the next request when the last is answered."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence

CONNECTIONS = 16


class LoadError(Exception):
    """An answer other than 200, or none."""


class KeepAliveConnection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.answers = 0
        self.ending = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end_of_head, body = self.received.partition(b"\r\n\r\n")
        if not end_of_head:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.transport.abort()
            self.ended.set_exception(LoadError(self.received.decode(errors="replace")))
            return
        self.received = b""
        self.answers += 1
        if self.ending:
            self.ended.set_result(None)
            self.transport.close()
        else:
            self.transport.write(next(self.requests))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(LoadError(f"the server closed the connection: {exc}"))


async def send_load(port: int, paths: Sequence[str], seconds: float) -> int:
    """The number of requests answered in about that time; raises LoadError."""
    heads = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() for path in paths]
    requests = itertools.cycle(heads)
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: KeepAliveConnection(requests), "127.0.0.1", port))[1]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    for connection in connections:
        connection.ending = True
    async with asyncio.timeout(30):
        await asyncio.gather(*(connection.ended for connection in connections))
    return sum(connection.answers for connection in connections)
