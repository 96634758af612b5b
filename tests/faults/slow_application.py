"""The application of the rendered project PACKAGE, with tables and routes that the faults need.

It is written for the async engine. Service takes async and await out for the other one.
"""

import importlib
import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    insert,
    select,
    text,
)

PACKAGE = os.environ["PACKAGE"]
Base = importlib.import_module(f"{PACKAGE}.database").Base
app: FastAPI = importlib.import_module(f"{PACKAGE}.api.app").app

USERS = Table(
    "users",
    Base.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text),
    Column("email", Text),
    UniqueConstraint(
        "email",
        name="uq_users_email",
        info={"meaning": "A user with this e-mail address exists."},
    ),
)
ALL_USERS = select(USERS).order_by(USERS.c.id).limit(20)
USER_BY_ID = select(USERS).where(USERS.c.id == bindparam("user_id"))
INSERT_USER = insert(USERS).returning(USERS)
# Computed as it is fetched; in FROM, the server would compute all of it first.
ROWS = text("SELECT repeat('x', 499) FROM (SELECT generate_series(1, :count)) AS numbers")
SLEEP = text("SELECT pg_sleep(:seconds)")


class Note:
    """A row with a version, which each change of it counts up."""

    id: int
    version: int
    title: str


NOTES = Table(
    "notes",
    Base.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("title", Text),
)
Base.registry.map_imperatively(Note, NOTES, version_id_col=NOTES.c.version)


class NewUser(BaseModel):
    name: str
    email: str


@app.get("/users")
async def list_users(request: Request) -> Any:
    return await request.app.state.database.fetch(ALL_USERS)


@app.get("/users/{user_id}")
async def get_user(request: Request, user_id: int) -> Any:
    return await request.app.state.database.fetch(USER_BY_ID, {"user_id": user_id})


@app.post("/users", status_code=201)
async def create_user(request: Request, user: NewUser) -> Any:
    async with request.app.state.database.transaction() as session:
        result = await session.execute(INSERT_USER, user.model_dump())
        created = dict(result.mappings().one())
    return created


@app.post("/fetched-users", status_code=201)
async def create_user_by_fetch(request: Request, user: NewUser) -> Any:
    return await request.app.state.database.fetch(INSERT_USER, user.model_dump())


@app.patch("/notes/{note_id}")
async def change_note(request: Request, note_id: int, version: int, title: str) -> int:
    async with request.app.state.database.transaction() as session:
        note = await session.get(Note, note_id)
        if note.version == version:
            await session.execute(SLEEP, {"seconds": 0.2})
        note.title = title
        await session.flush()
        changed = note.version
    return int(changed)


@app.get("/slow-read")
async def slow_read(request: Request, seconds: float = 0.1) -> None:
    async with request.app.state.database.read_only() as session:
        await session.execute(SLEEP, {"seconds": seconds})


@app.post("/slow-write")
async def slow_write(request: Request, seconds: float = 0.1) -> None:
    async with request.app.state.database.transaction() as session:
        await session.execute(SLEEP, {"seconds": seconds})


@app.post("/locked-write")
async def locked_write(request: Request) -> None:
    async with request.app.state.database.transaction() as session:
        await session.execute(text("UPDATE accounts SET amount = amount"))


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
    result = await session.stream(ROWS.execution_options(yield_per=1000), {"count": count})

    async def pieces() -> Any:
        async for rows in result.scalars().partitions(1000):
            yield "".join(f"{row}\n" for row in rows)

    return StreamingResponse(pieces())


@app.get("/pools")
async def pools(request: Request) -> dict[str, int]:
    database = request.app.state.database
    settings = database.settings
    return {
        "checked_out": sum(engine.pool.checkedout() for engine in database.engines),
        "limit": settings.database_pool_size + settings.database_max_overflow,
    }
