"""Many clients of a service at once."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass

import httpx2

# Seconds after which a request counts as hanging.
REQUEST_TIMEOUT = 30.0


@dataclass(frozen=True)
class Answer:
    begun: float
    ended: float
    status: int | str
    """Of the response, or the name of the exception that came instead."""


def load(
    url: str,
    *,
    clients: int,
    seconds: float,
    method: str = "GET",
    pause: float = 0.0,
) -> list[Answer]:
    """The answers to clients that each ask again and again."""

    async def ask_again(client: httpx2.AsyncClient, until: float) -> list[Answer]:
        answers = []
        while (begun := time.monotonic()) < until:
            status: int | str
            try:
                status = (await client.request(method, url)).status_code
            except httpx2.HTTPError as error:
                status = type(error).__name__
            answers.append(Answer(begun, time.monotonic(), status))
            await asyncio.sleep(pause)
        return answers

    async def ask() -> list[Answer]:
        limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
        async with httpx2.AsyncClient(limits=limits, timeout=REQUEST_TIMEOUT) as client:
            until = time.monotonic() + seconds
            found = await asyncio.gather(*(ask_again(client, until) for _ in range(clients)))
        return [answer for answers in found for answer in answers]

    return asyncio.run(ask())


def leave_early(url: str, bodies: list[dict[str, str]], patience: float) -> int:
    """Posts each body, from 20 clients who hang up within `patience` s; how often they did."""

    async def post(client: httpx2.AsyncClient, share: list[dict[str, str]]) -> int:
        left = 0
        for body in share:
            try:
                async with asyncio.timeout(random.uniform(0, patience)):
                    await client.post(url, json=body)
            except TimeoutError:
                left += 1
        return left

    async def ask() -> int:
        async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT) as client:
            return sum(await asyncio.gather(*(post(client, bodies[i::20]) for i in range(20))))

    return asyncio.run(ask())


def count(answers: list[Answer]) -> Counter[int | str]:
    return Counter(answer.status for answer in answers)
