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

from ..database import Database, Rows
from ..models import Post, User
from .pagination import KeysetPages, Page

SELECT_POST_BY_ID = Rows(select(Post.__table__).where(Post.__table__.c.id == bindparam("post_id")))
AUTHOR_POST_PAGES = KeysetPages(
    select(Post).where(Post.author_id == bindparam("author_id")),
    Post.created_at.desc(),
    Post.id.desc(),
)
# Newest first as well: the index of the primary key serves it.
POST_PAGES = KeysetPages(select(Post).options(joinedload(Post.author)), Post.id.desc())


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def get_post_row(database: Database, post_id: int) -> dict[str, Any] | None:
    found = await database.rows(SELECT_POST_BY_ID, post_id=post_id)
    return found[0] if found else None


async def get_post(session: AsyncSession, post_id: int) -> Post | None:
    result = await session.execute(select(Post).where(Post.id == post_id))
    return result.scalar_one_or_none()


async def get_post_with_author(session: AsyncSession, post_id: int) -> Post | None:
    """Return the post with `author` loaded by the same query."""
    statement = select(Post).where(Post.id == post_id).options(joinedload(Post.author))
    result = await session.execute(statement)
    return result.scalar_one_or_none()


async def list_posts_of(
    database: Database,
    author_id: int,
    *,
    after: str | None,
    limit: int,
) -> Page[dict[str, Any]]:
    """Return a page of the user's posts, newest first; raises InvalidCursorError."""
    parameters = {"author_id": author_id}
    return await AUTHOR_POST_PAGES.fetch(database, parameters, after=after, limit=limit)


async def list_posts(session: AsyncSession, *, after: str | None, limit: int) -> Page[Post]:
    """Return a page of all posts, newest first, with `author` loaded by the same query.

    Raises InvalidCursorError.
    """
    return await POST_PAGES.fetch_objects(session, after=after, limit=limit)


async def list_users_with_posts(session: AsyncSession) -> Sequence[Row[User, Post]]:
    """Return each post with its author, in rows of (user, post)."""
    statement = select(User, Post).join(Post, User.id == Post.author_id).order_by(Post.id)
    result = await session.execute(statement)
    return result.all()
{% endcall %}


def check_version(post: Post, version: int) -> None:
    """Raise StaleDataError if the post has another version.

    A change between this check and the UPDATE raises it too, at the flush.
    """
    if post.version != version:
        raise StaleDataError(f"post {post.id} has version {post.version}, not {version}")
