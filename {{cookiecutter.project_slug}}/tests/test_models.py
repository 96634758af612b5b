"""The models and the database agree about what rows are."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of
from {{ cookiecutter.project_slug }}.database.faults import constraint_of
from {{ cookiecutter.project_slug }}.models import Post, Role, User

from .factories import make_post, make_user


async def test_what_the_server_fills_in_is_there_after_the_flush(session: AsyncSession) -> None:
    user = await make_user(session)
    assert (user.is_active, user.role, user.age) == (True, Role.MEMBER, None)
    assert user.id > 0
    assert user.created_at == user.updated_at
    assert user.created_at.tzinfo is not None


async def test_the_time_of_an_update_is_there_after_the_flush(committed: Database) -> None:
    async with committed.transaction() as session:
        user = await make_user(session)
    async with committed.transaction() as session:
        changed = await session.get_one(User, user.id)
        changed.name = "Ann"
        await session.flush()
        assert changed.updated_at > user.updated_at
        assert changed.created_at == user.created_at


async def test_an_unloaded_relationship_fails_loudly(session: AsyncSession) -> None:
    post = await make_post(session)
    session.expunge_all()
    found = await session.get_one(Post, post.id)
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = found.author


async def test_posts_go_with_their_author(session: AsyncSession) -> None:
    user = await make_user(session)
    await make_post(session, author_id=user.id)
    await session.delete(user)
    await session.flush()
    assert await session.scalar(select(func.count(Post.id))) == 0


async def test_a_role_is_stored_by_its_value(session: AsyncSession) -> None:
    await make_user(session, role=Role.ADMIN)
    assert await session.scalar(text("SELECT role::text FROM users")) == "admin"


async def test_a_stale_version_is_refused(committed: Database) -> None:
    async with committed.transaction() as session:
        created = await make_post(session)
    with pytest.raises(StaleDataError) as failure:
        async with committed.transaction() as session:
            post = await session.get_one(Post, created.id)
            async with committed.transaction() as rival:
                theirs = await rival.get_one(Post, created.id)
                theirs.title = "Theirs"
            post.title = "Mine"
    assert fault_of(failure.value) is Fault.STALE


async def test_code_that_does_not_know_a_role_reads_all_others(session: AsyncSession) -> None:
    member = await make_user(session)
    newer = await make_user(session, role=Role.MODERATOR)
    # As if newer code had added the value and written it.
    await session.execute(text("ALTER TYPE user_role RENAME VALUE 'moderator' TO 'owner'"))
    session.expunge_all()
    with pytest.raises(LookupError, match="owner"):
        await session.get_one(User, newer.id)
    user = await session.get_one(User, member.id)
    assert user.role is Role.MEMBER


@pytest.mark.parametrize(
    ("values", "constraint", "fault"),
    [
        pytest.param({"email": "taken@example.com"}, "uq_users_email", Fault.CONFLICT, id="unique"),
        pytest.param({"age": -1}, "ck_users_age", Fault.INVALID, id="check"),
        pytest.param({"name": None}, None, None, id="not-null"),
    ],
)
async def test_a_constraint_names_itself(
    session: AsyncSession,
    values: dict[str, object],
    constraint: str | None,
    fault: Fault | None,
) -> None:
    await make_user(session, email="taken@example.com")
    with pytest.raises(IntegrityError) as failure:
        await make_user(session, **values)
    assert (constraint_of(failure.value), fault_of(failure.value)) == (constraint, fault)
{% endcall %}
