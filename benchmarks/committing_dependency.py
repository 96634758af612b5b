"""A pattern of templates: a dependency commits after the answer, and a class holds the queries."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from .schemas import UserIn, UserOut, UserPage
from .seed_pattern import User, async_session, page_of

app = FastAPI()
app.state.session_factory = async_session


async def get_session(request: Request) -> AsyncGenerator[AsyncSession, None]:
    session: AsyncSession = request.app.state.session_factory()
    try:
        yield session
    finally:
        await session.commit()
        await session.close()


class UserRepository:
    def __init__(self, session: Annotated[AsyncSession, Depends(get_session)]) -> None:
        self.session = session

    async def get(self, user_id: int) -> User | None:
        result = await self.session.execute(select(User).where(User.id == user_id))
        return result.scalar_one_or_none()

    async def newest(self, limit: int) -> list[User]:
        statement = select(User).order_by(User.created_at.desc(), User.id.desc()).limit(limit)
        return list((await self.session.execute(statement)).scalars())

    async def add(self, user: User) -> User:
        self.session.add(user)
        await self.session.flush()
        await self.session.refresh(user)
        return user


Users = Annotated[UserRepository, Depends()]


@app.get("/users/{user_id}", response_model=UserOut)
async def get_user(user_id: int, users: Users) -> Any:
    user = await users.get(user_id)
    if user is None:
        raise HTTPException(status_code=404)
    return user


@app.get("/users", response_model=UserPage)
async def list_users(users: Users, limit: int = 20) -> Any:
    return page_of(await users.newest(limit + 1), limit)


@app.post("/users", response_model=UserOut, status_code=201)
async def create_user(new: UserIn, users: Users) -> Any:
    return await users.add(User(**new.model_dump()))
