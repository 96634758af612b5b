"""Queries of posts."""

from collections.abc import Sequence

from sqlalchemy import Row, bindparam, select
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
{% else %}
from sqlalchemy.orm import Session, joinedload
{% endif %}
from sqlalchemy.orm.exc import StaleDataError

from ..models import Post, User
from .pagination import Page, Pages

POST_BY_ID = select(Post).where(Post.id == bindparam("post_id"))
POSTS_OF = Pages(select(Post).where(Post.author_id == bindparam("author_id")), Post)


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def get_post(session: AsyncSession, post_id: int) -> Post | None:
    result = await session.execute(POST_BY_ID, {"post_id": post_id})
    return result.scalar_one_or_none()


async def get_post_with_author(session: AsyncSession, post_id: int) -> Post | None:
    """With `author` loaded by the same query."""
    statement = select(Post).where(Post.id == post_id).options(joinedload(Post.author))
    result = await session.execute(statement)
    return result.scalar_one_or_none()


async def list_posts_of(
    session: AsyncSession,
    author_id: int,
    *,
    after: str | None,
    limit: int,
) -> Page[Post]:
    """A page of the user's posts, newest first; raises InvalidCursorError."""
    return await POSTS_OF.fetch(session, {"author_id": author_id}, after=after, limit=limit)


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
