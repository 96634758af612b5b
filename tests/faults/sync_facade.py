"""A synchronous facade for the async Database, so that one test covers both engines."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any


class SyncFacade:
    """Wraps an object of the async project: each call runs in an event loop, and is waited for.

    What a call returns is wrapped too, where it has coroutines of its own.
    """

    def __init__(self, wrapped: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._wrapped, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            args = tuple(self._as_coroutine(each) for each in args)
            return self._wait(self._result(attribute, args, kwargs))

        return call

    def __enter__(self) -> Any:
        return self._wait(self._result(self._wrapped.__aenter__, (), {}))

    def __exit__(self, *exc_info: Any) -> Any:
        return self._wait(self._result(self._wrapped.__aexit__, exc_info, {}))

    async def _result(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            result = await result
        has_coroutines = hasattr(result, "__aexit__") or hasattr(result, "sync_session")
        return SyncFacade(result, self._loop) if has_coroutines else result

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=120)

    def _as_coroutine(self, argument: Any) -> Any:
        """A synchronous callback, such as the work of run(), for a caller in the loop."""
        if not inspect.isfunction(argument):
            return argument

        async def callback(session: Any) -> Any:
            return await asyncio.to_thread(argument, SyncFacade(session, self._loop))

        return callback


class EventLoopThread(threading.Thread):
    """Runs an event loop until it is closed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.loop = asyncio.new_event_loop()
        self.start()

    def run(self) -> None:
        self.loop.run_forever()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def as_sync(database: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """The Database of a sync project as it is, or a facade for that of an async project."""
    is_async = inspect.iscoroutinefunction(type(database).ping)
    return SyncFacade(database, loop) if is_async else database
