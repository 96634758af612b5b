"""What this template replaces: a dependency yields a session, the handler returns the object."""

import base64
import json
import os
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import BigInteger, DateTime, Enum, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .schemas import UserIn, UserOut, UserPage

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=0)
async_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(255), unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)
    role: Mapped[str] = mapped_column(Enum("admin", "moderator", "member", name="user_role"))
    age: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


async def get_db() -> AsyncGenerator[AsyncSession, None]:
    async with async_session() as session:
        yield session


DB = Annotated[AsyncSession, Depends(get_db)]

app = FastAPI()


def page_of(users: Sequence[User], limit: int) -> dict[str, Any]:
    cursor = None
    if len(users) > limit:
        last = users[limit - 1]
        text = json.dumps([last.created_at.isoformat(), last.id])
        cursor = base64.urlsafe_b64encode(text.encode()).decode()
    return {"items": users[:limit], "next": cursor}


@app.get("/users/{user_id}", response_model=UserOut)
async def get_user(user_id: int, db: DB) -> Any:
    result = await db.execute(select(User).where(User.id == user_id))
    user = result.scalar_one_or_none()
    if not user:
        raise HTTPException(status_code=404)
    return user


@app.get("/users", response_model=UserPage)
async def list_users(db: DB, limit: int = 20) -> Any:
    stmt = select(User).order_by(User.created_at.desc(), User.id.desc()).limit(limit + 1)
    result = await db.execute(stmt)
    return page_of(result.scalars().all(), limit)


@app.post("/users", response_model=UserOut, status_code=201)
async def create_user(new: UserIn, db: DB) -> Any:
    user = User(**new.model_dump())
    db.add(user)
    await db.commit()
    await db.refresh(user)
    return user
