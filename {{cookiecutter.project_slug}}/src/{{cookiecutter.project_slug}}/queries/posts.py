"""Queries of posts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
{% else %}
from sqlalchemy.orm import Session, joinedload
{% endif %}
from sqlalchemy.orm.exc import StaleDataError

from ..models import Post, User
from .pagination import Page, Pages, Reader

# Rows, for what only reads; objects are for what changes them. Built once, since building a
# statement costs a fifth of a read.
POST_ROW = select(Post.__table__).where(Post.__table__.c.id == bindparam("post_id"))
POST_ROWS_OF = Pages(Post, Post.__table__.c.author_id == bindparam("author_id"))


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def read_post(reader: Reader, post_id: int) -> Row[Any] | None:
    result = await reader.execute(POST_ROW, {"post_id": post_id})
    return result.one_or_none()


async def get_post(session: AsyncSession, post_id: int) -> Post | None:
    result = await session.execute(select(Post).where(Post.id == post_id))
    return result.scalar_one_or_none()


async def get_post_with_author(session: AsyncSession, post_id: int) -> Post | None:
    """With `author` loaded by the same query."""
    statement = select(Post).where(Post.id == post_id).options(joinedload(Post.author))
    result = await session.execute(statement)
    return result.scalar_one_or_none()


async def list_posts_of(
    reader: Reader,
    author_id: int,
    *,
    after: str | None,
    limit: int,
) -> Page:
    """A page of the user's posts, newest first; raises InvalidCursorError."""
    return await POST_ROWS_OF.fetch(reader, {"author_id": author_id}, after=after, limit=limit)


async def users_with_posts(session: AsyncSession) -> Sequence[Row[User, Post]]:
    """A row for each post, with its author."""
    statement = select(User, Post).join(Post, User.id == Post.author_id).order_by(Post.id)
    result = await session.execute(statement)
    return result.all()
{% endcall %}


def check_version(post: Post, version: int) -> None:
    """Raises StaleDataError if the post has changed since the version was read.

    A change that comes between this check and the UPDATE raises it too, at the flush.
    """
    if post.version != version:
        raise StaleDataError(f"post {post.id} has version {post.version}, not {version}")
