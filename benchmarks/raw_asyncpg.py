"""FastAPI with hand-written SQL on asyncpg's own pool: no SQLAlchemy."""

import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException

from .schemas import UserIn, UserOut, UserPage

COLUMNS = "id, name, email, is_active, role, age, created_at, updated_at"
SELECT_USER = f"SELECT {COLUMNS} FROM users WHERE id = $1"
SELECT_USERS = f"SELECT {COLUMNS} FROM users ORDER BY created_at DESC, id DESC LIMIT $1"

INSERT_USER = f"""
INSERT INTO users (name, email, is_active, role, age) VALUES ($1, $2, $3, $4, $5)
RETURNING {COLUMNS}
"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"].replace("+asyncpg", "")
    async with asyncpg.create_pool(url, min_size=10, max_size=10) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/users/{user_id}")
async def get_user(user_id: int) -> UserOut:
    row = await app.state.pool.fetchrow(SELECT_USER, user_id)
    if row is None:
        raise HTTPException(status_code=404)
    return UserOut(**row)


@app.get("/users")
async def list_users(limit: int = 20) -> UserPage:
    rows = await app.state.pool.fetch(SELECT_USERS, limit + 1)
    cursor = None
    if len(rows) > limit:
        text = json.dumps([rows[limit - 1]["created_at"].isoformat(), rows[limit - 1]["id"]])
        cursor = base64.urlsafe_b64encode(text.encode()).decode()
    return UserPage(items=[UserOut(**row) for row in rows[:limit]], next=cursor)


@app.post("/users", status_code=201)
async def create_user(new: UserIn) -> UserOut:
    values = (new.name, new.email, new.is_active, new.role, new.age)
    return UserOut(**await app.state.pool.fetchrow(INSERT_USER, *values))
