"""A greenlet that is used again behaves as a new one would."""

import asyncio
import contextvars
import weakref

import pytest
from greenlet import getcurrent
from sqlalchemy import literal, select
from sqlalchemy.util import await_

from {{ cookiecutter.project_slug }}.database import Database, Rows
from {{ cookiecutter.project_slug }}.database.greenlets import KEPT, Greenlets
from {{ cookiecutter.project_slug }}.settings import Settings

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


class Thing:
    """What a weak reference can refer to."""


def wait(number: int = 0) -> int:
    """Await as SQLAlchemy does; return what tells the greenlet from others."""
    for _ in range(number + 1):
        await_(asyncio.sleep(0))
    return id(getcurrent())


async def test_the_next_call_has_the_same_greenlet() -> None:
    greenlets = Greenlets()
    assert await greenlets.run(wait) == await greenlets.run(wait, 3)


async def test_calls_at_the_same_time_have_greenlets_of_their_own() -> None:
    greenlets = Greenlets()
    for _ in range(2):
        used = await asyncio.gather(*(greenlets.run(wait, n) for n in range(2 * KEPT)))
        assert len(set(used)) == 2 * KEPT
    assert len(greenlets._idle) == KEPT


async def test_an_exception_is_raised_where_the_function_was_called() -> None:
    def fail(awaits: bool) -> None:
        if awaits:
            wait()
        raise KeyError("key")

    greenlets = Greenlets()
    for awaits in (False, True, False):
        with pytest.raises(KeyError, match="key"):
            await greenlets.run(fail, awaits)
        await greenlets.run(wait)


async def test_what_the_function_awaits_may_fail() -> None:
    async def refuse() -> None:
        raise KeyError("key")

    def handle() -> str:
        try:
            await_(refuse())
        except KeyError:
            wait()
            return "handled"
        return "not raised"

    greenlets = Greenlets()
    for _ in range(2):
        assert await greenlets.run(handle) == "handled"


async def test_a_cancelled_call_can_clean_up() -> None:
    cleaned: list[int] = []

    def hang() -> None:
        try:
            await_(asyncio.sleep(60))
        finally:
            cleaned.append(wait())

    greenlets = Greenlets()
    for count in (1, 2):
        task = asyncio.create_task(greenlets.run(hang))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(cleaned) == count
        await greenlets.run(wait)


async def test_the_function_has_the_context_of_its_caller() -> None:
    def change() -> str:
        before = variable.get()
        wait()
        variable.set(f"{before}, changed")
        return before

    async def call(value: str) -> tuple[str, str]:
        variable.set(value)
        return await greenlets.run(change), variable.get()

    greenlets = Greenlets()
    for value in ("first", "second"):
        assert await asyncio.create_task(call(value)) == (value, f"{value}, changed")


async def test_nothing_of_a_call_is_kept() -> None:
    def make(given: Thing) -> Thing:
        wait()
        variable.set("of this call")
        return Thing()

    async def call() -> list[weakref.ref[Thing]]:
        given = Thing()
        made = await greenlets.run(make, given)
        return [weakref.ref(given), weakref.ref(made)]

    greenlets = Greenlets()
    references = await asyncio.create_task(call())
    assert [reference() for reference in references] == [None, None]
    assert greenlets._idle[0].gr_context is None


async def test_a_database_that_is_disposed_of_keeps_none(database_url: str) -> None:
    async with Database(Settings(database_url=database_url)) as database:
        await database.rows(Rows(select(literal(1).label("n"))))
        [kept] = map(weakref.ref, database._owner.greenlets._idle)
        assert kept() is not None
    assert kept() is None
