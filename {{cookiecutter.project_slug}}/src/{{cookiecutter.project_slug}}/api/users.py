"""Users and their posts."""

from fastapi import APIRouter, HTTPException, Request, Response

from ..models import Job, Role
from ..queries import posts, users
from ..queries.users import UserOrder
from .dependencies import DatabaseDep
from .errors import problems
from .schemas import (
    After,
    Key,
    Limit,
    PageOut,
    PostIn,
    PostOut,
    UserChange,
    UserIn,
    UserOut,
)

router = APIRouter(prefix="/users", tags=["users"])


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
@router.post("", status_code=201)
async def create_user(
    new: UserIn,
    database: DatabaseDep,
    request: Request,
    response: Response,
) -> UserOut:
    user = await users.insert_user(database, new.model_dump())
    created = UserOut.model_validate(user)
    response.headers["Location"] = path_of(request, "read_user", user_id=created.id)
    return created


@router.get("")
async def list_users(
    database: DatabaseDep,
    order: UserOrder = UserOrder.NEWEST,
    role: Role | None = None,
    is_active: bool | None = None,
    after: After = None,
    limit: Limit = 20,
) -> PageOut[UserOut]:
    page = await users.list_users(
        database,
        order=order,
        role=role,
        is_active=is_active,
        after=after,
        limit=limit,
    )
    return PageOut[UserOut].model_validate(page)


@router.get("/{user_id}", responses=problems(404))
async def read_user(user_id: Key, database: DatabaseDep) -> UserOut:
    user = await users.get_user_row(database, user_id)
    if user is None:
        raise no_user(user_id)
    return UserOut.model_validate(user)


@router.patch("/{user_id}", responses=problems(404))
async def change_user(user_id: Key, change: UserChange, database: DatabaseDep) -> UserOut:
    async with database.transaction() as session:
        user = await users.get_user(session, user_id)
        if user is None:
            raise no_user(user_id)
        changes = change.model_dump()
        for name, value in changes.items():
            setattr(user, name, value)
        if "email" in changes:
            session.add(Job(task="confirm_email", payload={"user_id": user_id}))
        await session.flush()
        return UserOut.model_validate(user)


@router.delete("/{user_id}", status_code=204, responses=problems(404))
async def delete_user(user_id: Key, database: DatabaseDep) -> None:
    async with database.transaction() as session:
        user = await users.get_user(session, user_id)
        if user is None:
            raise no_user(user_id)
        await session.delete(user)


@router.post("/{user_id}/posts", status_code=201, responses=problems(404))
async def create_post(
    user_id: Key,
    new: PostIn,
    database: DatabaseDep,
    request: Request,
    response: Response,
) -> PostOut:
    post = await posts.insert_post(database, user_id, new.model_dump())
    if post is None:
        raise no_user(user_id)
    created = PostOut.model_validate(post)
    response.headers["Location"] = path_of(request, "read_post", post_id=created.id)
    return created


@router.get("/{user_id}/posts", responses=problems(404))
async def list_posts(
    user_id: Key,
    database: DatabaseDep,
    after: After = None,
    limit: Limit = 20,
) -> PageOut[PostOut]:
    page = await posts.list_posts_of(database, user_id, after=after, limit=limit)
    if not page.items and await users.get_user_row(database, user_id) is None:
        raise no_user(user_id)
    return PageOut[PostOut].model_validate(page)
{% endcall %}


def path_of(request: Request, route: str, **parameters: int) -> str:
    """Return the path of a route; the Host header, which the client chooses, has no part in it."""
    path: str = request.app.url_path_for(route, **parameters)
    return f"{request.scope.get('root_path', '')}{path}"


def no_user(user_id: int) -> HTTPException:
    return HTTPException(404, f"There is no user {user_id}.")
