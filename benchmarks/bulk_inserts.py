"""The ways to insert many rows, timed in a rendered project, whose `src` is on the path."""

import asyncio
import importlib
import json
import sys
import time
from typing import Any

from sqlalchemy import text

# They are rendered, and there only when this runs.
Settings: Any = importlib.import_module("acme_orders.settings").Settings
Database: Any = importlib.import_module("acme_orders.database").Database
User: Any = importlib.import_module("acme_orders.models").User
queries: Any = importlib.import_module("acme_orders.queries.users")

DELETE_USERS = text("DELETE FROM users")
COPY_USERS = "COPY users (name, email) FROM STDIN"
Seconds = dict[str, list[float]]


async def add_all(session: Any, rows: list[dict[str, str]]) -> None:
    session.add_all([User(**row) for row in rows])


async def insert_users(session: Any, rows: list[dict[str, str]]) -> None:
    await queries.insert_users(session, rows)


async def copy(session: Any, rows: list[dict[str, str]]) -> None:
    connection = await session.connection()
    raw = await connection.get_raw_connection()
    await raw.driver_connection.copy_records_to_table(
        "users",
        columns=["name", "email"],
        records=[tuple(row.values()) for row in rows],
    )


def add_all_sync(session: Any, rows: list[dict[str, str]]) -> None:
    session.add_all([User(**row) for row in rows])


def insert_users_sync(session: Any, rows: list[dict[str, str]]) -> None:
    queries.insert_users(session, rows)


def copy_sync(session: Any, rows: list[dict[str, str]]) -> None:
    driver = session.connection().connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(COPY_USERS) as copying:
        for row in rows:
            copying.write_row(tuple(row.values()))


async def time_async(rows: list[dict[str, str]], rounds: int) -> Seconds:
    database = Database(Settings())
    ways = {"objects": add_all, "`insert_users()`": insert_users, "COPY": copy}
    seconds: Seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            async with database.transaction() as session:
                await way(session, rows)
            seconds[name].append(time.perf_counter() - start)
            async with database.transaction() as session:
                await session.execute(DELETE_USERS)
    await database.dispose()
    return seconds


def time_sync(rows: list[dict[str, str]], rounds: int) -> Seconds:
    database = Database(Settings())
    ways = {"objects": add_all_sync, "`insert_users()`": insert_users_sync, "COPY": copy_sync}
    seconds: Seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            with database.transaction() as session:
                way(session, rows)
            seconds[name].append(time.perf_counter() - start)
            with database.transaction() as session:
                session.execute(DELETE_USERS)
    database.dispose()
    return seconds


def main(engine: str, number: int, rounds: int) -> None:
    rows = [{"name": f"User {n}", "email": f"bulk{n}@example.com"} for n in range(number)]
    sync = engine == "sync"
    seconds = time_sync(rows, rounds) if sync else asyncio.run(time_async(rows, rounds))
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
