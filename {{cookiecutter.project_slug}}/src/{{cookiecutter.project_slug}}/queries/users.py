"""Queries of users."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
{% else %}
from sqlalchemy.orm import Session, selectinload
{% endif %}

from ..database import Database
from ..models import Post, Role, User
from .pages import KeysetPages, Page

ADULT_AGE = 18


class UserOrder(StrEnum):
    """The orders of the list of users. An index serves each of them."""

    NEWEST = "newest"
    EMAIL = "email"


USER_BY_ID = select(User).where(User.id == bindparam("user_id"))
INSERT_USER = insert(User).returning(User)
FILTERS = {
    "role": User.role == bindparam("role"),
    "is_active": User.is_active == bindparam("is_active"),
}
USER_PAGES = {
    UserOrder.NEWEST: KeysetPages(
        select(User),
        User.created_at.desc(),
        User.id.desc(),
        filters=FILTERS,
    ),
    UserOrder.EMAIL: KeysetPages(select(User), User.email, filters=FILTERS),
}
# Otherwise a None is left out, and each change of the columns begins another statement.
NULLS_AS_GIVEN = {"render_nulls": True}


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def get_user_row(database: Database, user_id: int) -> dict[str, Any] | None:
    rows = await database.fetch(USER_BY_ID, {"user_id": user_id})
    return rows[0] if rows else None


async def get_user(session: AsyncSession, user_id: int) -> User | None:
    return await session.scalar(select(User).where(User.id == user_id))


async def get_user_by_email(session: AsyncSession, email: str) -> User | None:
    return await session.scalar(select(User).where(User.email == email))


async def get_user_with_posts(session: AsyncSession, user_id: int) -> User | None:
    """Return the user with `posts` loaded, by one more query whatever their number."""
    statement = select(User).where(User.id == user_id).options(selectinload(User.posts))
    return await session.scalar(statement)


async def list_users(
    database: Database,
    *,
    order: UserOrder = UserOrder.NEWEST,
    role: Role | None = None,
    is_active: bool | None = None,
    after: str | None,
    limit: int,
) -> Page:
    """Return a page of the users with this role, and of those who are active or not.

    Raises InvalidCursorError.
    """
    filters = {"role": role, "is_active": is_active}
    return await USER_PAGES[order].fetch(database, filters, after=after, limit=limit)


async def list_newest_users(session: AsyncSession, limit: int = 10) -> Sequence[User]:
    statement = select(User).order_by(User.created_at.desc(), User.id.desc()).limit(limit)
    found = await session.scalars(statement)
    return found.all()


async def find_active_adults(session: AsyncSession) -> Sequence[User]:
    is_active_adult = and_(User.is_active, User.age >= ADULT_AGE)
    found = await session.scalars(select(User).where(is_active_adult).order_by(User.id))
    return found.all()


async def find_staff(session: AsyncSession) -> Sequence[User]:
    is_staff = or_(User.role == Role.ADMIN, User.role == Role.MODERATOR)
    found = await session.scalars(select(User).where(is_staff).order_by(User.id))
    return found.all()


async def count_active_users(session: AsyncSession) -> int:
    statement = select(func.count(User.id)).where(User.is_active)
    result = await session.execute(statement)
    return result.scalar_one()


async def count_users_by_role(session: AsyncSession) -> dict[Role, int]:
    """Return the number of users of each role that somebody has."""
    result = await session.execute(select(User.role, func.count(User.id)).group_by(User.role))
    return dict(result.all())


async def count_posts_by_user(session: AsyncSession) -> list[tuple[User, int]]:
    """Return every user, also without posts, and the number of their posts."""
    statement = (
        select(User, func.count(Post.id))
        .outerjoin(Post, User.id == Post.author_id)
        .group_by(User.id)
        .order_by(User.id)
    )
    result = await session.execute(statement)
    return [(user, count) for user, count in result]


async def insert_user(database: Database, values: Mapping[str, Any]) -> dict[str, Any]:
    """Insert a user and commit; return the row, with what the server computed."""
    [row] = await database.fetch(INSERT_USER, values)
    return row


async def insert_users(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert any number of rows in few statements, without making objects of them."""
    if rows:
        await session.execute(insert(User), rows, execution_options=NULLS_AS_GIVEN)


async def update_users(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Change many rows by their `id`, without making objects of them."""
    if rows:
        await session.execute(update(User), rows)


async def upsert_users(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> Sequence[User]:
    """Insert users; rename those whose e-mail address exists, and return all of them.

    Any number of rows is sent in few statements. If an address occurs twice, its last row counts.
    """
    last_rows = list({row["email"]: row for row in rows}.values())
    if not last_rows:
        return []
    new = postgresql_insert(User)
    statement = new.on_conflict_do_update(
        index_elements=[User.email],
        # The time of the row that was not inserted: now() is not allowed here by Citus.
        set_={"name": new.excluded.name, "updated_at": new.excluded.updated_at},
    ).returning(User)
    options = {"populate_existing": True, **NULLS_AS_GIVEN}
    result = await session.scalars(statement, last_rows, execution_options=options)
    return result.all()
{% endcall %}
