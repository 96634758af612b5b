"""Single posts."""

from fastapi import APIRouter, HTTPException

from ..queries import posts
from .dependencies import DatabaseDep
from .errors import problems
from .schemas import After, Key, Limit, PageOut, PostChange, PostOut, PostWithAuthorOut

router = APIRouter(prefix="/posts", tags=["posts"])


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
@router.get("")
async def list_posts(
    database: DatabaseDep,
    after: After = None,
    limit: Limit = 20,
) -> PageOut[PostWithAuthorOut]:
    page = await posts.list_posts(database, after=after, limit=limit)
    return PageOut[PostWithAuthorOut].model_validate(page)


@router.get("/{post_id}", responses=problems(404))
async def read_post(post_id: Key, database: DatabaseDep) -> PostOut:
    post = await posts.get_post_row(database, post_id)
    if post is None:
        raise no_post(post_id)
    return PostOut.model_validate(post)


@router.patch("/{post_id}", responses=problems(404))
async def change_post(post_id: Key, change: PostChange, database: DatabaseDep) -> PostOut:
    async with database.transaction() as session:
        post = await posts.get_post(session, post_id)
        if post is None:
            raise no_post(post_id)
        changed = change.model_dump()
        posts.check_version(post, changed.pop("version"))
        for name, value in changed.items():
            setattr(post, name, value)
        await session.flush()
        return PostOut.model_validate(post)


@router.delete("/{post_id}", status_code=204, responses=problems(404))
async def delete_post(post_id: Key, database: DatabaseDep) -> None:
    async with database.transaction() as session:
        post = await posts.get_post(session, post_id)
        if post is None:
            raise no_post(post_id)
        await session.delete(post)
{% endcall %}


def no_post(post_id: int) -> HTTPException:
    return HTTPException(404, f"There is no post {post_id}.")
