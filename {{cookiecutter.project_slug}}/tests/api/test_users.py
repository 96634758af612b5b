"""Users over HTTP."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from {{ cookiecutter.project_slug }}.models import Job, Role

from ..factories import make_post, make_user

ANN = {"name": "Ann", "email": "ann@example.com", "age": 30}


async def test_a_user_is_created_and_read(client: AsyncClient) -> None:
    created = await client.post("/users", json=ANN)
    assert created.status_code == 201
    user = created.json()
    assert user | ANN == user
    assert (user["role"], user["is_active"]) == ("member", True)
    assert created.headers["Location"] == f"/users/{user['id']}"  # not of the Host header
    read = await client.get(created.headers["Location"])
    assert (read.status_code, read.json()) == (200, user)


async def test_an_email_address_is_taken_once(client: AsyncClient) -> None:
    await client.post("/users", json=ANN)
    again = await client.post("/users", json=ANN, headers={"X-Request-ID": "abc-1"})
    assert again.status_code == 409
    assert again.headers["Content-Type"] == "application/problem+json"
    assert again.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "A user with this e-mail address exists.",
        "request_id": "abc-1",
    }


async def test_a_role_of_newer_code_costs_the_answers_that_read_it(
    client: AsyncClient,
    session: AsyncSession,
) -> None:
    newer = await make_user(session, role=Role.MODERATOR)
    other = await make_user(session)
    await session.execute(text("ALTER TYPE user_role RENAME VALUE 'moderator' TO 'owner'"))
    for path in ("/users", f"/users/{newer.id}"):
        with pytest.raises(LookupError, match="owner"):  # which a server answers by 500
            await client.get(path)
    answer = await client.get(f"/users/{other.id}")
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_user_is_not_found(client: AsyncClient, method: str) -> None:
    answer = await client.request(method, "/users/1", json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no user 1.")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a" * 101),
        ("name", "a\0b"),
        ("email", "nobody"),
        ("email", "a\0b@example.com"),
        ("age", -1),
        ("age", 2**63),
        ("role", "king"),
        ("nickname", "Annie"),
    ],
)
async def test_a_wrong_field_is_named(client: AsyncClient, field: str, value: object) -> None:
    answer = await client.post("/users", json=ANN | {field: value})
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", field]]


async def test_a_change_changes_what_it_names(client: AsyncClient) -> None:
    created = await client.post("/users", json=ANN)
    user = created.json()
    changed = await client.patch(f"/users/{user['id']}", json={"age": None, "name": "Anna"})
    assert changed.status_code == 200
    assert changed.json() == user | {"age": None, "name": "Anna"}


async def test_a_new_address_is_to_be_confirmed(client: AsyncClient, session: AsyncSession) -> None:
    user = await make_user(session)
    await client.patch(f"/users/{user.id}", json={"age": 31})
    assert await session.scalar(select(func.count(Job.id))) == 0
    await client.patch(f"/users/{user.id}", json={"email": "new@example.com"})
    job = await session.scalar(select(Job))
    assert job is not None
    assert (job.task, job.payload) == ("confirm_email", {"user_id": user.id})


async def test_a_required_field_cannot_be_emptied(client: AsyncClient) -> None:
    created = await client.post("/users", json=ANN)
    user = created.json()
    answer = await client.patch(f"/users/{user['id']}", json={"name": None})
    assert answer.status_code == 422


async def test_a_user_goes_with_the_posts(client: AsyncClient, session: AsyncSession) -> None:
    post = await make_post(session)
    deleted = await client.delete(f"/users/{post.author_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    read = await client.get(f"/posts/{post.id}")
    assert read.status_code == 404


async def test_the_list_comes_in_pages(client: AsyncClient, session: AsyncSession) -> None:
    made = [await make_user(session) for _ in range(5)]
    found: list[int] = []
    parameters: dict[str, Any] = {"limit": 2}
    while True:
        answer = await client.get("/users", params=parameters)
        page = answer.json()
        found += [user["id"] for user in page["items"]]
        if page["next"] is None:
            break
        parameters["after"] = page["next"]
    assert found == [user.id for user in reversed(made)]


async def test_a_list_is_filtered_and_ordered(client: AsyncClient, session: AsyncSession) -> None:
    for name in ("Cid", "Ann", "Ben"):
        await make_user(session, name=name, email=f"{name}@example.com", role=Role.ADMIN)
    await make_user(session, email="Abe@example.com")
    parameters: dict[str, Any] = {"order": "email", "role": "admin", "is_active": True, "limit": 2}
    answer = await client.get("/users", params=parameters)
    page = answer.json()
    assert [user["name"] for user in page["items"]] == ["Ann", "Ben"]
    answer = await client.get("/users", params=parameters | {"after": page["next"]})
    assert [user["name"] for user in answer.json()["items"]] == ["Cid"]
    for other in ({"order": "newest"}, {"role": "member"}, {"is_active": False}):
        refused = await client.get("/users", params=parameters | {"after": page["next"]} | other)
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith("after: This cursor is not one of this list")


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 101}, {"after": "forged"}])
async def test_a_wrong_page_is_refused(client: AsyncClient, parameters: dict[str, Any]) -> None:
    answer = await client.get("/users", params=parameters)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
{% endcall %}
