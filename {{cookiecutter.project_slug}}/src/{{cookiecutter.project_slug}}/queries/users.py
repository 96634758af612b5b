"""Queries of users."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, bindparam, func, insert, or_, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
{% else %}
from sqlalchemy.orm import Session, selectinload
{% endif %}

from ..models import Post, Role, User
from .pagination import Page, Pages, Reader

ADULT_AGE = 18

# Rows, for what only reads; objects are for what changes them. Built once, since building a
# statement costs a fifth of a read.
USER_ROW = select(User.__table__).where(User.__table__.c.id == bindparam("user_id"))
USER_ROWS = Pages(User)


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def read_user(reader: Reader, user_id: int) -> Row[Any] | None:
    result = await reader.execute(USER_ROW, {"user_id": user_id})
    return result.one_or_none()


async def get_user(session: AsyncSession, user_id: int) -> User | None:
    result = await session.execute(select(User).where(User.id == user_id))
    return result.scalar_one_or_none()


async def get_user_by_email(session: AsyncSession, email: str) -> User | None:
    result = await session.execute(select(User).where(User.email == email))
    return result.scalar_one_or_none()


async def get_user_with_posts(session: AsyncSession, user_id: int) -> User | None:
    """With `posts` loaded, by a second query whatever their number."""
    statement = select(User).where(User.id == user_id).options(selectinload(User.posts))
    result = await session.execute(statement)
    return result.scalar_one_or_none()


async def list_users(reader: Reader, *, after: str | None, limit: int) -> Page:
    """A page, newest first; raises InvalidCursorError."""
    return await USER_ROWS.fetch(reader, after=after, limit=limit)


async def newest_users(session: AsyncSession, limit: int = 10) -> Sequence[User]:
    statement = select(User).order_by(User.created_at.desc(), User.id.desc()).limit(limit)
    result = await session.execute(statement)
    return result.scalars().all()


async def find_active_adults(session: AsyncSession) -> Sequence[User]:
    statement = select(User).where(and_(User.is_active, User.age >= ADULT_AGE)).order_by(User.id)
    result = await session.execute(statement)
    return result.scalars().all()


async def find_staff(session: AsyncSession) -> Sequence[User]:
    statement = (
        select(User)
        .where(or_(User.role == Role.ADMIN, User.role == Role.MODERATOR))
        .order_by(User.id)
    )
    result = await session.execute(statement)
    return result.scalars().all()


async def count_active_users(session: AsyncSession) -> int:
    statement = select(func.count(User.id)).where(User.is_active)
    result = await session.execute(statement)
    return result.scalar_one()


async def count_users_by_role(session: AsyncSession) -> dict[Role, int]:
    """Roles that nobody has are left out."""
    result = await session.execute(select(User.role, func.count(User.id)).group_by(User.role))
    return dict(result.all())


async def count_posts_by_user(session: AsyncSession) -> list[tuple[User, int]]:
    """Every user, those without posts too, with the number of their posts."""
    statement = (
        select(User, func.count(Post.id))
        .outerjoin(Post, User.id == Post.author_id)
        .group_by(User.id)
        .order_by(User.id)
    )
    result = await session.execute(statement)
    return [(user, count) for user, count in result]


async def insert_users(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Many rows in few statements, without making objects of them."""
    if rows:
        await session.execute(insert(User), rows)


async def upsert_users(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> Sequence[User]:
    """Inserts users; those whose e-mail address exists get the name given here."""
    if not rows:
        return []
    new = postgresql_insert(User).values(rows)
    statement = new.on_conflict_do_update(
        index_elements=[User.email],
        set_={"name": new.excluded.name, "updated_at": func.now()},
    ).returning(User)
    options = {"populate_existing": True}
    result = await session.scalars(statement, execution_options=options)
    return result.all()
{% endcall %}
