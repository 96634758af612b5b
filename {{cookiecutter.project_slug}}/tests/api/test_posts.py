"""Posts over HTTP."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from collections.abc import Callable
from contextlib import AbstractContextManager

from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from ..factories import make_post, make_user

POST = {"title": "Once", "body": "upon a time"}


async def test_a_post_is_written_and_read(client: AsyncClient, session: AsyncSession) -> None:
    author = await make_user(session)
    created = await client.post(f"/users/{author.id}/posts", json=POST)
    assert created.status_code == 201
    post = created.json()
    assert post | POST | {"author_id": author.id, "version": 1} == post
    read = await client.get(created.headers["Location"])
    assert read.json() == post
    page = await client.get(f"/users/{author.id}/posts")
    assert page.json() == {"items": [post], "next": None}


async def test_the_list_shows_authors_with_one_query(
    client: AsyncClient,
    session: AsyncSession,
    count_queries: Callable[[], AbstractContextManager[list[str]]],
) -> None:
    made = [await make_post(session) for _ in range(3)]
    with count_queries() as queries:
        answer = await client.get("/posts")
    assert len(queries) == 1
    shown = [(post["id"], post["author"]["id"]) for post in answer.json()["items"]]
    assert shown == [(post.id, post.author_id) for post in reversed(made)]


async def test_an_unknown_author_is_not_found(client: AsyncClient) -> None:
    created = await client.post("/users/1/posts", json=POST)
    listed = await client.get("/users/1/posts")
    assert (created.status_code, listed.status_code) == (404, 404)


async def test_a_change_needs_the_version_that_was_read(
    client: AsyncClient,
    session: AsyncSession,
) -> None:
    post = await make_post(session)
    unversioned = await client.patch(f"/posts/{post.id}", json={"title": "Twice"})
    assert unversioned.status_code == 422
    changed = await client.patch(f"/posts/{post.id}", json={"title": "Twice", "version": 1})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    stale = await client.patch(f"/posts/{post.id}", json={"title": "Thrice", "version": 1})
    assert (stale.status_code, stale.json()["title"]) == (409, "Conflict")
    read = await client.get(f"/posts/{post.id}")
    assert read.json()["title"] == "Twice"


async def test_a_post_is_deleted_once(client: AsyncClient, session: AsyncSession) -> None:
    post = await make_post(session)
    first = await client.delete(f"/posts/{post.id}")
    second = await client.delete(f"/posts/{post.id}")
    changed = await client.patch(f"/posts/{post.id}", json={"version": 1})
    assert [answer.status_code for answer in (first, second, changed)] == [204, 404, 404]
{% endcall %}
