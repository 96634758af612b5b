"""A load client: connections that each send the next request when the last is answered."""

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


class LoadError(Exception):
    """An answer other than 200 or 201, or none."""


@dataclass
class Load:
    """How long each answer took, in seconds."""

    latencies: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """The latency that so many percent of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[math.ceil(len(ordered) * percent / 100) - 1]


class KeepAliveConnection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], load: Load) -> None:
        self.requests = requests
        self.load = load
        self.loop = asyncio.get_running_loop()
        self.ending = False
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.send()

    def send(self) -> None:
        following = None if self.ending else next(self.requests, None)
        if following is None:
            self.ended.set_result(None)
            self.transport.close()
            return
        self.sent = self.loop.time()
        self.transport.write(following)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end_of_head, body = self.received.partition(b"\r\n\r\n")
        if not end_of_head:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")):
            self.transport.abort()
            self.ended.set_exception(LoadError(self.received.decode(errors="replace")))
            return
        self.received = b""
        self.load.latencies.append(self.loop.time() - self.sent)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(LoadError(f"the server closed the connection: {exc}"))


def request(method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    """The bytes of a request, with a JSON body if there is one."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def send_load(
    port: int,
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float | None = None,
) -> Load:
    """What was answered in about that time, or until no request is left; raises LoadError."""
    load = Load()
    loop = asyncio.get_running_loop()
    clients = [
        (
            await loop.create_connection(
                lambda: KeepAliveConnection(requests, load), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    if seconds is not None:
        await asyncio.sleep(seconds)
        for client in clients:
            client.ending = True
    async with asyncio.timeout(30 if seconds is not None else None):
        await asyncio.gather(*(client.ended for client in clients))
    return load
