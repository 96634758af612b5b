"""Greenlets that are used again, because a new one costs as much as asyncpg's part of a short read.

SQLAlchemy awaits what the driver does in a greenlet, and makes a new one for each of its calls.
Python 3.11 and newer map memory for the stack of each new greenlet, and unmap it at its end.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")

# A greenlet that waits for work keeps some 10 KB.
KEPT = 100


class Task:
    """What a greenlet is to do, and the result of what it has done."""

    def __init__(self) -> None:
        self.work: Callable[[], Any] | None = None
        self.result: Any = None

    def serve(self) -> None:
        """Work each time that the greenlet is switched to; an exception ends it."""
        # Nothing here refers to the greenlet itself, which would never be freed then.
        while self.work is not None:
            self.result = self.work()
            self.work = None
            caller = getcurrent().parent
            assert caller is not None
            caller.switch()


class Worker(greenlet):
    """A greenlet that waits for its next task."""

    # SQLAlchemy's await_() works in greenlets with this mark.
    __sqlalchemy_greenlet_provider__ = True

    def __init__(self) -> None:
        self.task = Task()
        super().__init__(self.task.serve)


class Greenlets:
    """The greenlets of one thread."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call the function, in which SQLAlchemy may await, as its own greenlet_spawn() does."""
        worker = self._idle.pop() if self._idle else Worker()
        task, caller = worker.task, getcurrent()
        worker.parent, worker.gr_context = caller, caller.gr_context
        task.work = partial(function, *arguments)
        awaitable = worker.switch()
        while task.work is not None:
            try:
                value = await awaitable
            except BaseException as error:
                awaitable = worker.throw(error)
            else:
                awaitable = worker.switch(value)
        result: T = task.result
        task.result = worker.gr_context = None
        if len(self._idle) < KEPT:
            self._idle.append(worker)
        return result
