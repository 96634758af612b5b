"""Every query gives what its name says, with no query more than it needs."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.models import Role
from {{ cookiecutter.project_slug }}.queries import posts, users

from .factories import make_post, make_user

CountQueries = Callable[[], AbstractContextManager[list[str]]]


def row(name: str, **values: Any) -> dict[str, Any]:
    return {"name": name, "email": f"{name.lower()}@example.com", **values}


async def test_a_user_is_found_by_id_and_by_email(
    session: AsyncSession,
    rolled_back: Database,
) -> None:
    user = await make_user(session)
    row = await users.get_user_row(rolled_back, user.id)
    assert row is not None
    assert (row["id"], row["email"], row["role"]) == (user.id, user.email, user.role)
    assert await users.get_user(session, user.id) is user
    assert await users.get_user_by_email(session, user.email) is user
    assert await users.get_user_row(rolled_back, user.id + 1) is None
    assert await users.get_user(session, user.id + 1) is None
    assert await users.get_user_by_email(session, "nobody@example.com") is None


async def test_conditions_are_met(session: AsyncSession) -> None:
    adult = await make_user(session, age=18, role=Role.ADMIN)
    await make_user(session, age=17)
    await make_user(session, age=40, is_active=False)
    moderator = await make_user(session, role=Role.MODERATOR)
    assert await users.find_active_adults(session) == [adult]
    assert await users.find_staff(session) == [adult, moderator]
    assert await users.count_active_users(session) == 3
    assert await users.count_users_by_role(session) == {
        Role.ADMIN: 1,
        Role.MODERATOR: 1,
        Role.MEMBER: 2,
    }


async def test_the_newest_come_first(session: AsyncSession) -> None:
    made = [await make_user(session) for _ in range(3)]
    assert await users.list_newest_users(session, limit=2) == [made[2], made[1]]


async def test_pages_are_the_list(session: AsyncSession, rolled_back: Database) -> None:
    # All of them have the same created_at, the start of the transaction: the id decides.
    made = [await make_user(session) for _ in range(5)]
    found: list[int] = []
    after: str | None = None
    while True:
        page = await users.list_users(rolled_back, after=after, limit=2)
        found += [row["id"] for row in page.items]
        after = page.next
        if after is None:
            break
        await make_user(session)  # a new user does not shift the pages that follow
    assert found == [user.id for user in reversed(made)]


async def test_users_are_filtered(session: AsyncSession, rolled_back: Database) -> None:
    ann = await make_user(session, **row("Ann", role=Role.ADMIN))
    ben = await make_user(session, **row("Ben", role=Role.ADMIN, is_active=False))
    await make_user(session, **row("Cid"))
    for role, is_active, expected in [
        (Role.ADMIN, None, [ann, ben]),
        (Role.ADMIN, True, [ann]),
        (None, False, [ben]),
    ]:
        page = await users.list_users(
            rolled_back,
            order=users.UserOrder.EMAIL,
            role=role,
            is_active=is_active,
            after=None,
            limit=2,
        )
        assert [each["id"] for each in page.items] == [user.id for user in expected]


async def test_posts_of_a_user_are_listed(session: AsyncSession, rolled_back: Database) -> None:
    author = await make_user(session)
    mine = [await make_post(session, author_id=author.id) for _ in range(3)]
    await make_post(session)
    page = await posts.list_posts_of(rolled_back, author.id, after=None, limit=2)
    assert [row["id"] for row in page.items] == [mine[2].id, mine[1].id]
    rest = await posts.list_posts_of(rolled_back, author.id, after=page.next, limit=2)
    assert ([row["id"] for row in rest.items], rest.next) == ([mine[0].id], None)


async def test_posts_are_listed_with_their_authors_by_one_query(
    session: AsyncSession,
    rolled_back: Database,
    count_queries: CountQueries,
) -> None:
    made = [await make_post(session) for _ in range(3)]
    with count_queries() as queries:
        page = await posts.list_posts(rolled_back, after=None, limit=2)
    assert len(queries) == 1
    assert [post["author"]["id"] for post in page.items] == [made[2].author_id, made[1].author_id]
    rest = await posts.list_posts(rolled_back, after=page.next, limit=2)
    found = [*page.items, *rest.items]
    assert [post["id"] for post in found] == [post.id for post in reversed(made)]
    assert rest.next is None


async def test_a_post_is_inserted_for_a_user_who_exists(
    session: AsyncSession,
    rolled_back: Database,
) -> None:
    author = await make_user(session)
    values = {"title": "Hello", "body": "World"}
    post = await posts.insert_post(rolled_back, author.id, values)
    assert post is not None
    assert (post["author_id"], post["title"], post["version"]) == (author.id, "Hello", 1)
    assert await posts.insert_post(rolled_back, author.id + 1, values) is None


async def test_posts_are_joined_and_counted(session: AsyncSession) -> None:
    author, reader = await make_user(session), await make_user(session)
    post = await make_post(session, author_id=author.id)
    assert [tuple(each) for each in await posts.list_users_with_posts(session)] == [(author, post)]
    assert await users.count_posts_by_user(session) == [(author, 1), (reader, 0)]


async def test_relationships_are_loaded_in_a_fixed_number_of_queries(
    session: AsyncSession,
    count_queries: CountQueries,
) -> None:
    author = await make_user(session)
    made = [await make_post(session, author_id=author.id) for _ in range(3)]
    session.expunge_all()
    with count_queries() as queries:
        user = await users.get_user_with_posts(session, author.id)
        assert user is not None
        assert {post.id for post in user.posts} == {post.id for post in made}
    assert len(queries) == 2
    session.expunge_all()
    with count_queries() as queries:
        post = await posts.get_post_with_author(session, made[0].id)
        assert post is not None
        assert post.author.email == author.email
    assert len(queries) == 1


async def test_many_rows_are_inserted_at_once(
    session: AsyncSession,
    count_queries: CountQueries,
) -> None:
    with count_queries() as queries:
        await users.insert_users(session, [row(f"U{number}") for number in range(500)])
    assert len(queries) == 1
    assert await users.count_active_users(session) == 500
    await users.insert_users(session, [])


async def test_many_rows_are_changed_at_once(
    session: AsyncSession,
    count_queries: CountQueries,
) -> None:
    made = [await make_user(session, age=30) for _ in range(3)]
    with count_queries() as queries:
        await users.update_users(session, [{"id": user.id, "age": 31} for user in made[:2]])
    assert len(queries) == 1
    for user, age in zip(made, (31, 31, 30), strict=True):
        await session.refresh(user)
        assert user.age == age
    await users.update_users(session, [])


async def test_an_upsert_inserts_and_updates(
    session: AsyncSession,
    count_queries: CountQueries,
) -> None:
    ann = await make_user(session, **row("Ann", age=30))
    with count_queries() as queries:
        found = await users.upsert_users(session, [row("Ann") | {"name": "Anna"}, row("Ben")])
    [statement] = queries
    assert "now()" not in statement.partition("DO UPDATE")[2]  # which Citus refuses
    assert sorted((user.name, user.age) for user in found) == [("Anna", 30), ("Ben", None)]
    assert ann.name == "Anna"
    assert await users.upsert_users(session, []) == []


async def test_of_rows_with_one_address_the_last_is_stored(session: AsyncSession) -> None:
    rows = [row("Ann"), row("Ben"), row("Ann") | {"name": "Anna"}]
    found = await users.upsert_users(session, rows)
    assert sorted(user.name for user in found) == ["Anna", "Ben"]


async def test_more_rows_than_a_statement_has_parameters_are_stored(
    session: AsyncSession,
    count_queries: CountQueries,
) -> None:
    now = datetime.now(UTC)
    rows = [
        row(
            f"U{number}",
            # Alternately, as data are.
            age=None if number % 2 else 30,
            role=Role.MEMBER,
            is_active=True,
            created_at=now,
            updated_at=now,
        )
        for number in range(9_400)
    ]
    assert sum(map(len, rows)) > 65_535
    with count_queries() as queries:
        await users.insert_users(session, rows)
        found = await users.upsert_users(session, rows)
    assert {user.email for user in found} == {each["email"] for each in rows}
    assert len(queries) < 50
    assert await users.count_active_users(session) == len(rows)
{% endcall %}
