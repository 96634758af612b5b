"""Queries of posts."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, String, Text, bindparam, insert, select
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload
{% else %}
from sqlalchemy.orm import Session, joinedload
{% endif %}
from sqlalchemy.orm.exc import StaleDataError

from ..database import Database
from ..models import Post, User
from .pages import KeysetPages, Page

POST_BY_ID = select(Post).where(Post.id == bindparam("post_id"))
NEW_POST = select(User.id, bindparam("title", type_=String), bindparam("body", type_=Text))
# Of no user, no row: nothing is inserted.
INSERT_POST = (
    insert(Post)
    .from_select(["author_id", "title", "body"], NEW_POST.where(User.id == bindparam("author_id")))
    .returning(Post)
)
AUTHOR_POST_PAGES = KeysetPages(
    select(Post).where(Post.author_id == bindparam("author_id")),
    Post.created_at.desc(),
    Post.id.desc(),
)
# Newest first as well: the index of the primary key serves it.
POST_PAGES = KeysetPages(
    select(Post, User.name.label("author_name")).join(Post.author),
    Post.id.desc(),
)


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def get_post_row(database: Database, post_id: int) -> dict[str, Any] | None:
    rows = await database.fetch(POST_BY_ID, {"post_id": post_id})
    return rows[0] if rows else None


async def get_post(session: AsyncSession, post_id: int) -> Post | None:
    return await session.scalar(select(Post).where(Post.id == post_id))


async def get_post_with_author(session: AsyncSession, post_id: int) -> Post | None:
    """Return the post with `author` loaded by the same query."""
    statement = select(Post).where(Post.id == post_id).options(joinedload(Post.author))
    return await session.scalar(statement)


async def list_posts_of(
    database: Database,
    author_id: int,
    *,
    after: str | None,
    limit: int,
) -> Page:
    """Return a page of the user's posts, newest first; raises InvalidCursorError."""
    parameters = {"author_id": author_id}
    return await AUTHOR_POST_PAGES.fetch(database, parameters, after=after, limit=limit)


async def list_posts(database: Database, *, after: str | None, limit: int) -> Page:
    """Return a page of all posts, newest first, each with its `author`; raises as above."""
    page = await POST_PAGES.fetch(database, after=after, limit=limit)
    for post in page.items:
        post["author"] = {"id": post["author_id"], "name": post.pop("author_name")}
    return page


async def insert_post(
    database: Database,
    author_id: int,
    values: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Insert a post and commit; return the row, or None if there is no such user."""
    rows = await database.fetch(INSERT_POST, {"author_id": author_id, **values})
    return rows[0] if rows else None


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
