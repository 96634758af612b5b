"""The application of the rendered project PACKAGE, with routes that take their time."""

import importlib
import inspect
import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import text

app: FastAPI = importlib.import_module(f"{os.environ['PACKAGE']}.api.app").app
# Computed as it is fetched; in FROM, the server would compute all of it first.
ROWS = text("SELECT repeat('x', 499) FROM (SELECT generate_series(1, :count)) AS numbers")
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

    async def get_snapshot(request: Request) -> Any:
        async with request.app.state.database.read_only(snapshot=True) as session:
            yield session

    @app.get("/stream")
    async def stream(session: Annotated[Any, Depends(get_snapshot)], count: int) -> Any:
        """As docs/sessions.md has it."""
        result = await session.stream(ROWS.execution_options(yield_per=1000), {"count": count})

        async def pieces() -> Any:
            async for rows in result.scalars().partitions(1000):
                yield "".join(f"{row}\n" for row in rows)

        return StreamingResponse(pieces())

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

    def get_snapshot_in_a_thread(request: Request) -> Any:
        with request.app.state.database.read_only(snapshot=True) as session:
            yield session

    @app.get("/stream")
    def stream_in_threads(
        session: Annotated[Any, Depends(get_snapshot_in_a_thread)], count: int
    ) -> Any:
        """As docs/sessions.md has it."""
        result = session.execute(ROWS.execution_options(yield_per=1000), {"count": count})

        def pieces() -> Any:
            for rows in result.scalars().partitions(1000):
                yield "".join(f"{row}\n" for row in rows)

        return StreamingResponse(pieces())


@app.get("/pools")
async def pools(request: Request) -> dict[str, Any]:
    return {
        name: {"checked_out": status.checked_out, "limit": status.limit}
        for name, status in request.app.state.database.pool_status().items()
    }
