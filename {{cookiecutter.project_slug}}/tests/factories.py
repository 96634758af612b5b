"""Rows for tests: what a test does not say is filled in."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from {{ cookiecutter.project_slug }}.models import Post, User

numbers = count(1)


async def make_user(session: AsyncSession, **values: Any) -> User:
    """A flushed user."""
    number = next(numbers)
    user = User(**{"name": f"User {number}", "email": f"user{number}@example.com"} | values)
    session.add(user)
    await session.flush()
    return user


async def make_post(session: AsyncSession, **values: Any) -> Post:
    """A flushed post, by a new user if no author is given."""
    if "author_id" not in values:
        author = await make_user(session)
        values["author_id"] = author.id
    number = next(numbers)
    post = Post(**{"title": f"Post {number}", "body": "Once upon a time"} | values)
    session.add(post)
    await session.flush()
    return post
{% endcall %}
