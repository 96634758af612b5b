"""An id for each request, which its answer and the log lines about it hold."""

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..logs import request_id

HEADER = b"x-request-id"
VALID_ID = re.compile(rb"[\w.:=+/@-]{1,128}")
WITH_HEADERS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


class RequestIdMiddleware:
    """Take the id from the header X-Request-ID, or make one, and answer with the same header.

    An id that is too long, or that could forge a log line, is replaced.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        current = next((value for name, value in scope["headers"] if name == HEADER), b"")
        if not VALID_ID.fullmatch(current):
            current = secrets.token_hex(16).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] in WITH_HEADERS:
                message["headers"] = [*message.get("headers", ()), (HEADER, current)]
            await send(message)

        # It stays set: the server logs an exception after the application has raised it.
        request_id.set(current.decode())
        await self.app(scope, receive, send_with_id)
