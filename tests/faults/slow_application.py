"""The application of the rendered project PACKAGE, with routes that take their time."""

import importlib
import inspect
import os
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import text

app: FastAPI = importlib.import_module(f"{os.environ['PACKAGE']}.api.app").app
SLEEP = text("SELECT pg_sleep(:seconds)")
Database = importlib.import_module(f"{os.environ['PACKAGE']}.database").Database

if inspect.iscoroutinefunction(Database.ping):

    @app.get("/slow-read")
    async def slow_read(request: Request, seconds: float = 0.1) -> None:
        async with request.app.state.database.read_only() as session:
            await session.execute(SLEEP, {"seconds": seconds})

    @app.post("/slow-write")
    async def slow_write(request: Request, seconds: float = 0.1) -> None:
        async with request.app.state.database.transaction() as session:
            await session.execute(SLEEP, {"seconds": seconds})

    @app.get("/late-stream")
    async def late_stream(request: Request) -> StreamingResponse:
        async with request.app.state.database.read_only() as session:

            async def lines() -> Any:
                yield b"begun "
                yield str(await session.scalar(text("SELECT 1"))).encode()

            return StreamingResponse(lines())

else:

    @app.get("/slow-read")
    def slow_read_in_a_thread(request: Request, seconds: float = 0.1) -> None:
        with request.app.state.database.read_only() as session:
            session.execute(SLEEP, {"seconds": seconds})

    @app.post("/slow-write")
    def slow_write_in_a_thread(request: Request, seconds: float = 0.1) -> None:
        with request.app.state.database.transaction() as session:
            session.execute(SLEEP, {"seconds": seconds})

    @app.get("/late-stream")
    def late_stream_in_a_thread(request: Request) -> StreamingResponse:
        with request.app.state.database.read_only() as session:

            def lines() -> Any:
                yield b"begun "
                yield str(session.scalar(text("SELECT 1"))).encode()

            return StreamingResponse(lines())


@app.get("/pools")
async def pools(request: Request) -> dict[str, Any]:
    return {
        name: {"checked_out": status.checked_out, "limit": status.limit}
        for name, status in request.app.state.database.pool_status().items()
    }
