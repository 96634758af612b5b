"""The database layer keeps its promises."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Enum,
    Executable,
    Integer,
    Numeric,
    any_,
    bindparam,
    literal,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
{% else %}
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
{% endif %}
from sqlalchemy.types import TypeEngine

from {{ cookiecutter.project_slug }}.database import (
    Database,
    Fault,
    OutcomeUnknownError,
    engine,
    fault_of,
)
from {{ cookiecutter.project_slug }}.database.base import AwareDateTime
from {{ cookiecutter.project_slug }}.database.faults import (
    is_still_referred_to,
    sqlstate_of,
)
from {{ cookiecutter.project_slug }}.database.transactions import (
    IsolationLevel,
    lock,
    try_lock,
)
from {{ cookiecutter.project_slug }}.settings import Settings

NOWHERE = "postgresql://postgres:secret@127.0.0.1:1/postgres"
BALANCE = text("SELECT balance FROM test_accounts WHERE id = 1")
DEPOSIT = text("UPDATE test_accounts SET balance = balance + 1 WHERE id = 1")
SECRET, BIG = "hunter2", 123456789 * 10**12
# COMMIT runs the deferred trigger, which ends the server's side of the connection.
DIE_AT_COMMIT = (
    "CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON test_accounts"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.die()",
    DEPOSIT.text,
)


class Model(DeclarativeBase):
    """The base of this module's models, which no migration knows."""


class Account(Model):
    __tablename__ = "test_accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


@pytest.fixture
async def accounts(database: Database) -> AsyncIterator[Database]:
    """The worker's Database, with a table of one account, whose balance is 100."""
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE test_accounts (id int PRIMARY KEY, balance int)"))
        await session.execute(text("INSERT INTO test_accounts VALUES (1, 100)"))
    yield database
    async with database.transaction() as session:
        await session.execute(text("DROP TABLE test_accounts"))


async def balance(database: Database) -> int:
    async with database.read_only() as session:
        found = await session.scalar(BALANCE)
        return int(found)


async def test_a_unit_of_work_is_committed_at_its_end(accounts: Database) -> None:
    async with accounts.transaction() as session:
        await session.execute(DEPOSIT)
        assert await balance(accounts) == 100
    assert await balance(accounts) == 101


async def test_an_exception_rolls_the_unit_back(accounts: Database) -> None:
    with pytest.raises(KeyError):
        async with accounts.transaction() as session:
            await session.execute(DEPOSIT)
            raise KeyError
    assert await balance(accounts) == 100


async def copy_account(session: AsyncSession) -> None:
    connection = await session.connection()
{% if cookiecutter.engine == "async" %}
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    await driver.copy_records_to_table("test_accounts", records=[(2, 50)])
{% else %}
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy("COPY test_accounts FROM STDIN") as copy:
        copy.write_row((2, 50))
{% endif %}


@pytest.mark.parametrize("level", [None, "SERIALIZABLE"])
async def test_what_the_driver_copies_is_in_the_transaction(
    accounts: Database,
    level: IsolationLevel | None,
) -> None:
    copied = text("SELECT count(*) FROM test_accounts WHERE id = 2")
    with pytest.raises(KeyError):
        async with accounts.transaction(isolation_level=level) as session:
            await copy_account(session)
            raise KeyError
    async with accounts.read_only() as session:
        assert await session.scalar(copied) == 0
    async with accounts.transaction(isolation_level=level) as session:
        await copy_account(session)
        async with accounts.read_only() as reader:
            assert await reader.scalar(copied) == 0
    async with accounts.read_only() as session:
        assert await session.scalar(copied) == 1


async def test_what_the_driver_copies_in_a_savepoint_is_undone_with_it(accounts: Database) -> None:
    async with accounts.transaction() as session:
        savepoint = await session.begin_nested()
        await copy_account(session)
        await savepoint.rollback()
        await copy_account(session)


async def execute_on_driver(session: AsyncSession, statement: str) -> None:
    connection = await session.connection()
{% if cookiecutter.engine == "async" %}
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
{% else %}
    driver: Any = connection.connection.driver_connection
{% endif %}
    await driver.execute(statement)


async def test_a_transaction_of_the_driver_does_not_hold_the_next_reader(
    accounts: Database,
    database_url: str,
) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1, database_max_overflow=0)
    async with Database(settings) as database:
        async with database.read_only() as session:
            await execute_on_driver(session, "BEGIN ISOLATION LEVEL REPEATABLE READ")
            assert await session.scalar(BALANCE) == 100
        async with accounts.transaction() as session:
            await session.execute(DEPOSIT)
        async with database.read_only() as session:
            assert await session.scalar(BALANCE) == 101


async def test_a_reader_that_turns_writable_does_not_make_the_next_one_so(
    accounts: Database,
    database_url: str,
) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1, database_max_overflow=0)
    async with Database(settings) as database:
        async with database.read_only() as session:
            await session.execute(text("SET default_transaction_read_only = off"))
        with pytest.raises(DBAPIError) as refusal:
            async with database.read_only() as session:
                await session.execute(DEPOSIT)
    assert sqlstate_of(refusal.value) == "25006"
    assert await balance(accounts) == 100


async def test_a_tenant_is_that_of_one_transaction(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1, database_max_overflow=0)
    set_tenant = text("SELECT set_config('app.tenant', 'acme', true)")
    tenant = text("SELECT current_setting('app.tenant', true)")
    async with Database(settings) as database:
        for options in ({}, {"snapshot": True}):
            async with database.read_only(**options) as session:
                await session.execute(set_tenant)
                # In read_only() each statement is a transaction of its own.
                found = await session.scalar(tenant)
                assert found == "acme" if options else not found
        async with database.transaction() as session:
            await session.execute(set_tenant)
            assert await session.scalar(tenant) == "acme"
        for unit in (database.read_only, database.transaction):
            async with unit() as session:
                found = await session.scalar(tenant)
                assert not found


async def test_a_listener_may_wait_longer_than_a_statement(database: Database) -> None:
    async def notify() -> None:
        async with database.transaction() as session:
            await session.execute(text("NOTIFY news, 'hello'"))

    async with database.read_only_connection() as connection:
{% if cookiecutter.engine == "async" %}
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        payloads = asyncio.Queue[str]()
        await driver.add_listener("news", lambda *told: payloads.put_nowait(told[-1]))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(payloads.get(), 0.1)
        await notify()
        assert await asyncio.wait_for(payloads.get(), 10) == "hello"
{% else %}
        from threading import Timer

        driver: Any = connection.connection.driver_connection
        driver.execute("LISTEN news")
        driver.response_timeout = 0.05
        assert list(driver.notifies(timeout=0.1)) == []
        timer = Timer(0.15, notify)
        timer.start()
        [told] = driver.notifies(stop_after=1)
        timer.join()
        assert told.payload == "hello"
{% endif %}
        await connection.invalidate()


async def test_a_stream_is_refused_where_there_is_no_transaction(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_pool_size=1, database_max_overflow=0)
    numbers = text("SELECT generate_series(1, 1000)").execution_options(yield_per=100)
    async with Database(settings) as database:
        with pytest.raises(InvalidRequestError, match="snapshot=True"):
            async with database.read_only() as session:
                await session.execute(numbers)
        with pytest.raises(InvalidRequestError, match="snapshot=True"):
            async with database.read_only_connection() as connection:
                await connection.execute(numbers)
        for _ in range(2):
            async with database.read_only(snapshot=True) as session:
{% if cookiecutter.engine == "async" %}
                result = await session.stream(numbers)
                assert [row[0] async for row in result] == list(range(1, 1001))
{% else %}
                result = session.execute(numbers)
                assert [row[0] for row in result] == list(range(1, 1001))
{% endif %}


async def test_a_savepoint_undoes_a_part_of_the_unit(accounts: Database) -> None:
    async with accounts.transaction() as session:
        await session.execute(DEPOSIT)
        savepoint = await session.begin_nested()
        await session.execute(DEPOSIT)
        await savepoint.rollback()
    assert await balance(accounts) == 101


@pytest.mark.parametrize("snapshot", [False, True])
async def test_the_server_refuses_a_write_while_reading(accounts: Database, snapshot: bool) -> None:
    with pytest.raises(DBAPIError) as refusal:
        async with accounts.read_only(snapshot=snapshot) as session:
            await session.execute(DEPOSIT)
    assert sqlstate_of(refusal.value) == "25006"
    assert fault_of(refusal.value) is None
    assert await balance(accounts) == 100


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param("add", "new Account", id="add"),
        pytest.param("change", "Account.balance", id="change"),
        pytest.param("delete", "deleted Account", id="delete"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"snapshot": True}, {"stale_ok": True}], ids=str)
@pytest.mark.parametrize("place", ["pool", "replica", "connection"])
async def test_a_change_that_a_read_would_lose_is_an_error_that_names_it(
    accounts: Database,
    database_url: str,
    change: str,
    name: str,
    options: dict[str, bool],
    place: str,
) -> None:
    async def lose(database: Database) -> None:
        async with database.read_only(**options) as session:
            account = await session.get_one(Account, 1)
            if change == "add":
                session.add(Account(id=2, balance=4711))
            elif change == "delete":
                await session.delete(account)
            else:
                account.balance = 4711

    replica_url = database_url if place == "replica" else None
    settings = Settings(database_url=database_url, database_replica_url=replica_url)
    async with Database(settings) as database:
        with pytest.raises(InvalidRequestError, match=name) as refusal:
            if place == "connection":
                async with database.engine.connect() as connection:
                    await lose(Database.on_connection(connection))
            else:
                await lose(database)
    assert "4711" not in str(refusal.value)
    assert await balance(accounts) == 100


async def test_a_read_that_fails_raises_its_own_error(accounts: Database) -> None:
    with pytest.raises(KeyError):
        async with accounts.read_only() as session:
            account = await session.get_one(Account, 1)
            account.balance = 0
            raise KeyError


async def test_a_read_may_set_what_is_there_and_expunge_the_rest(accounts: Database) -> None:
    async with accounts.read_only() as session:
        account = await session.get_one(Account, 1)
        account.balance = 100
        scratch = Account(id=2, balance=0)
        session.add(scratch)
        session.expunge(scratch)


async def test_each_read_sees_what_is_committed_by_then(accounts: Database) -> None:
    async with accounts.read_only() as reader:
        assert await reader.scalar(BALANCE) == 100
        async with accounts.transaction() as session:
            await session.execute(DEPOSIT)
        assert await reader.scalar(BALANCE) == 101


async def test_a_snapshot_sees_one_state(accounts: Database) -> None:
    async with accounts.read_only(snapshot=True) as reader:
        assert await reader.scalar(BALANCE) == 100
        async with accounts.transaction() as session:
            await session.execute(DEPOSIT)
        assert await reader.scalar(BALANCE) == 100


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_an_isolation_level_is_that_of_its_unit_alone(
    database: Database,
    level: IsolationLevel,
) -> None:
    show = text("SHOW transaction_isolation")
    async with database.transaction(isolation_level=level) as session:
        assert await session.scalar(show) == level.lower()
    async with database.transaction() as session:
        assert await session.scalar(show) == "read committed"


async def test_run_repeats_the_unit_after_a_serialization_failure(accounts: Database) -> None:
    sessions: list[AsyncSession] = []

    async def deposit(session: AsyncSession) -> int:
        sessions.append(session)
        before: int = await session.scalar(BALANCE)
        if len(sessions) < 3:
            async with accounts.transaction() as rival:
                await rival.execute(DEPOSIT)
        await session.execute(DEPOSIT)
        return before

    assert await accounts.run(deposit, isolation_level="SERIALIZABLE") == 102
    assert len(set(map(id, sessions))) == 3
    assert await balance(accounts) == 103


async def test_run_gives_up_after_its_attempts(accounts: Database) -> None:
    attempts = 0

    async def lose(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(BALANCE)
        async with accounts.transaction() as rival:
            await rival.execute(DEPOSIT)
        await session.execute(DEPOSIT)

    with pytest.raises(DBAPIError) as failure:
        await accounts.run(lose, isolation_level="REPEATABLE READ", attempts=2)
    assert sqlstate_of(failure.value) == "40001"
    assert fault_of(failure.value) is Fault.UNAVAILABLE
    assert attempts == 2


async def test_run_does_not_repeat_a_bug(database: Database) -> None:
    attempts = 0

    async def divide(session: AsyncSession) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError):
        await database.run(divide)
    assert attempts == 1


async def test_an_advisory_lock_is_held_until_the_transaction_ends(database: Database) -> None:
    async with database.transaction() as holder:
        await lock(holder, "nightly report")
        async with database.transaction() as rival:
            assert not await try_lock(rival, "nightly report")
            assert await try_lock(rival, "another report")
    async with database.transaction() as session:
        assert await try_lock(session, "nightly report")


async def test_the_server_knows_the_timeouts(database_url: str) -> None:
    settings = Settings(
        database_url=database_url,
        database_statement_timeout=1.5,
        database_lock_timeout=0.25,
        database_idle_in_transaction_timeout=7,
    )
    names = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    statement = text("SELECT setting FROM pg_settings WHERE name IN :names ORDER BY name DESC")
    shown = statement.bindparams(bindparam("names", names, expanding=True))
    async with Database(settings) as database:
        for unit in (database.transaction, database.read_only):
            async with unit() as session:
                found = await session.scalars(shown)
                assert found.all() == ["1500", "250", "7000"]


async def test_a_connection_that_was_idle_is_asked_and_used_again(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "PING_AFTER_IDLE", -1.0)
    pid = text("SELECT pg_backend_pid()")
    async with Database(Settings(database_url=database_url)) as database:
        async with database.read_only() as session:
            first = await session.scalar(pid)
        async with database.read_only() as session:
            assert await session.scalar(pid) == first


async def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    settings = Settings(database_url=database_url, database_statement_timeout=0.05)
    async with Database(settings) as database:
        with pytest.raises(DBAPIError) as failure:
            async with database.read_only() as session:
                await session.execute(text("SELECT pg_sleep(5)"))
        assert fault_of(failure.value) is Fault.TIMED_OUT


async def test_a_wait_for_a_lock_is_bounded(accounts: Database, database_url: str) -> None:
    settings = Settings(database_url=database_url, database_lock_timeout=0.05)
    async with Database(settings) as impatient, accounts.transaction() as holder:
        await holder.execute(DEPOSIT)
        with pytest.raises(DBAPIError) as failure:
            async with impatient.transaction() as session:
                await session.execute(DEPOSIT)
        assert fault_of(failure.value) is Fault.UNAVAILABLE


async def test_a_wait_for_a_connection_is_bounded(database_url: str) -> None:
    settings = Settings(
        database_url=database_url,
        database_pool_size=1,
        database_max_overflow=0,
        database_pool_timeout=0.05,
    )
    async with Database(settings) as database, database.transaction() as holder:
        await holder.execute(text("SELECT 1"))
        status = database.pool_status()["write"]
        assert (status.checked_out, status.checked_in, status.limit) == (1, 0, 1)
        with pytest.raises(PoolTimeoutError, match=r"timeout 0\.05") as failure:
            async with database.transaction() as session:
                await session.execute(text("SELECT 1"))
        assert fault_of(failure.value) is Fault.UNAVAILABLE


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    async with Database(Settings(database_url=NOWHERE)) as database:
        with pytest.raises(OperationalError) as failure:
            await database.ping()
    assert fault_of(failure.value) is Fault.UNAVAILABLE
    assert "secret" not in str(failure.value)


async def test_stale_reads_go_to_the_replica(database_url: str, fresh_url: str) -> None:
    settings = Settings(database_url=database_url, database_replica_url=fresh_url)
    name = text("SELECT current_database()")
    async with Database(settings) as database:
        async with database.read_only(stale_ok=True) as session:
            assert await session.scalar(name) in fresh_url
        async with database.read_only() as session:
            assert await session.scalar(name) in database_url


async def test_without_the_replica_the_primary_answers(
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(database_url=database_url, database_replica_url=NOWHERE)
    async with Database(settings) as database:
        async with database.read_only(stale_ok=True) as session:
            name = await session.scalar(text("SELECT current_database()"))
    assert name in database_url
    assert "the replica is unavailable" in caplog.text


async def test_a_closed_session_cannot_be_used(database: Database) -> None:
    async with database.transaction() as session:
        pass
    with pytest.raises(InvalidRequestError):
        await session.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    "expression",
    [
        "CAST(CAST(:value AS text) AS int)",
        "CAST(CAST(:value AS text) AS timestamptz)",
        "CAST(CAST(:value AS text) AS jsonb)",
        "CAST(:value AS uuid)",
    ],
)
async def test_a_value_that_does_not_fit_is_invalid_and_not_shown(
    database: Database,
    expression: str,
) -> None:
    with pytest.raises(DBAPIError) as failure:
        async with database.read_only() as session:
            await session.execute(text(f"SELECT {expression}"), {"value": SECRET})
    assert fault_of(failure.value) is Fault.INVALID
    assert SECRET not in "".join(traceback.format_exception(failure.value))
    async with database.read_only(snapshot=True) as session:  # the connection is as good as new
        await session.execute(text("SELECT 1"))


@pytest.mark.parametrize("value", ["x" * 9, "a\0b", "a\ud800b"])
async def test_a_text_that_cannot_be_stored_is_invalid(database: Database, value: str) -> None:
    with pytest.raises(DBAPIError) as failure:
        async with database.transaction() as session:
            await session.execute(text("CREATE TEMPORARY TABLE names (name varchar(8))"))
            await session.execute(text("INSERT INTO names VALUES (:name)"), {"name": value})
    assert fault_of(failure.value) is Fault.INVALID


async def test_a_number_out_of_range_is_invalid_and_not_shown(database: Database) -> None:
    statement = select(bindparam("number", type_=BigInteger))
    with pytest.raises(DBAPIError) as failure:
        async with database.read_only() as session:
            await session.execute(statement, {"number": BIG})
    assert fault_of(failure.value) is Fault.INVALID
    assert str(BIG) not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Numeric(12, 2), Decimal("1e131072")),
        (AwareDateTime, datetime(2026, 11, 22, 12)),
        (AwareDateTime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        (AwareDateTime, datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))),
        (Enum("small", "large", name="size", validate_strings=True), "huge"),
        (Integer, 2**31),
    ],
)
async def test_a_value_that_its_type_refuses_is_invalid(
    database: Database,
    kind: type[TypeEngine[Any]],
    value: object,
) -> None:
    with pytest.raises(StatementError) as failure:
        async with database.read_only() as session:
            await session.execute(select(bindparam("value", type_=kind)), {"value": value})
    assert fault_of(failure.value) is Fault.INVALID


@pytest.mark.parametrize(
    ("sqlstate", "fault"),
    [
        ("25P04", Fault.UNAVAILABLE),
        ("40003", Fault.OUTCOME_UNKNOWN),
        ("42501", None),
        ("53100", Fault.UNAVAILABLE),
        ("55000", None),
        ("58030", Fault.UNAVAILABLE),
    ],
)
async def test_an_error_of_a_statement_means_what_its_sqlstate_says(
    database: Database,
    sqlstate: str,
    fault: Fault | None,
) -> None:
    with pytest.raises(DBAPIError) as failure:
        async with database.transaction() as session:
            await session.execute(
                text(f"DO $$ BEGIN RAISE 'failed' USING ERRCODE = '{sqlstate}'; END $$"),
            )
    assert fault_of(failure.value) is fault


async def test_a_parameter_without_a_value_is_a_bug(database: Database) -> None:
    with pytest.raises(StatementError) as failure:
        async with database.read_only() as session:
            await session.execute(text("SELECT :value"))
    assert fault_of(failure.value) is None


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(select(Account).where(Account.id.in_(range(70_000))), id="parameters"),
        pytest.param(text(f"SELECT {'+'.join(['1'] * 50_000)}"), id="too complex"),
        pytest.param(text(f"SELECT {', '.join(['1'] * 1_700)}"), id="columns"),
    ],
)
async def test_a_statement_that_is_too_large_is_a_bug(
    accounts: Database,
    statement: Executable,
) -> None:
    for unit in (accounts.read_only, accounts.transaction):
        with pytest.raises(DBAPIError) as failure:
            async with unit() as session:
                await session.execute(statement)
        assert fault_of(failure.value) is None
    assert await balance(accounts) == 100


async def test_an_array_is_one_parameter_of_any_size(accounts: Database) -> None:
    keys = literal(list(range(70_000)), ARRAY(BigInteger))
    async with accounts.read_only() as session:
        found = await session.scalars(select(Account.id).where(Account.id == any_(keys)))
        assert found.all() == [1]


@pytest.mark.parametrize("options", ["-c nonsense=1", "-c work_mem=little"])
async def test_a_connection_that_the_server_refuses_is_unavailable(
    database_url: str,
    options: str,
) -> None:
    url = make_url(database_url).update_query_dict({"options": options})
    async with Database(Settings(database_url=url)) as database:
        with pytest.raises(DBAPIError) as failure:
            async with database.read_only() as session:
                await session.execute(text("SELECT 1"))
    assert fault_of(failure.value) is Fault.UNAVAILABLE


async def test_a_connection_to_a_server_that_became_read_only_is_left(accounts: Database) -> None:
    demote = text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    async with accounts.transaction() as session:
        await session.execute(demote)  # for as long as the connection lives
    with pytest.raises(DBAPIError) as failure:
        async with accounts.transaction() as session:
            await session.execute(DEPOSIT)
    assert fault_of(failure.value) is Fault.UNAVAILABLE
    async with accounts.transaction() as session:
        await session.execute(DEPOSIT)
    assert await balance(accounts) == 101


async def test_a_widened_column_costs_a_reader_one_answer_at_most(accounts: Database) -> None:
    statement = text("SELECT balance FROM test_accounts")
    for _ in range(7):  # the drivers prepare what they see often
        async with accounts.read_only() as session:
            await session.execute(statement)
    async with accounts.transaction() as session:
        await session.execute(text("ALTER TABLE test_accounts ALTER balance TYPE bigint"))
    faults: list[Fault | None] = []
    for _ in range(10):
        try:
            async with accounts.read_only() as session:
                await session.execute(statement)
        except DBAPIError as error:
            faults.append(fault_of(error))
    assert faults in ([], [Fault.UNAVAILABLE])


async def test_run_repeats_the_unit_after_a_column_is_widened(accounts: Database) -> None:
    statement = text("SELECT balance FROM test_accounts")

    async def read(session: AsyncSession) -> None:
        for _ in range(7):
            await session.execute(statement)
        async with accounts.transaction() as other_session:
            await other_session.execute(text("SELECT 1"))

    await accounts.run(read)
    async with accounts.transaction() as session:
        await session.execute(text("ALTER TABLE test_accounts ALTER balance TYPE bigint"))
    await accounts.run(read)


async def test_a_connection_lost_during_commit_leaves_the_outcome_unknown(
    accounts: Database,
) -> None:
    with pytest.raises(OutcomeUnknownError) as failure:
        async with accounts.transaction() as session:
            for statement in DIE_AT_COMMIT:
                await session.execute(text(statement))
    assert fault_of(failure.value) is Fault.OUTCOME_UNKNOWN
    # A later unit on a new connection is another story.
    with pytest.raises(DBAPIError) as loss:
        async with accounts.transaction() as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert fault_of(loss.value) is Fault.UNAVAILABLE


@pytest.mark.parametrize("rule", ["NO ACTION", "RESTRICT"])
async def test_both_ends_of_a_foreign_key_are_told_apart(database: Database, rule: str) -> None:
    parents = "CREATE TEMPORARY TABLE parents (id int PRIMARY KEY, parent int REFERENCES parents"
    found: list[bool] = []
    for statement in ("INSERT INTO parents VALUES (2, 3)", "DELETE FROM parents WHERE id = 1"):
        with pytest.raises(DBAPIError) as failure:
            async with database.transaction() as session:
                await session.execute(text(f"{parents} ON DELETE {rule})"))
                await session.execute(text("INSERT INTO parents VALUES (1, 1), (4, 1)"))
                await session.execute(text(statement))
        assert fault_of(failure.value) is Fault.CONFLICT
        found.append(is_still_referred_to(failure.value))
    assert found == [False, True]


async def test_a_datetime_has_a_time_zone(session: AsyncSession) -> None:
    aware = datetime(2026, 11, 22, 12, tzinfo=UTC)
    statement = select(bindparam("time", type_=AwareDateTime))
    result = await session.execute(statement, {"time": aware})
    assert result.scalar_one() == aware
    with pytest.raises(StatementError, match="naive datetime"):
        await session.execute(statement, {"time": aware.replace(tzinfo=None)})


@pytest.mark.parametrize("number", ["1e131071", "-1e-16383", "0", "NaN", "12.30"])
async def test_a_number_comes_back_as_it_was(session: AsyncSession, number: str) -> None:
    statement = select(bindparam("number", type_=Numeric))
    result = await session.execute(statement, {"number": Decimal(number)})
    stored = result.scalar_one()
    assert stored == Decimal(number) or str(stored) == number == "NaN"


@pytest.mark.parametrize("kind", [Numeric(), Numeric(12, 2), Numeric(asdecimal=False), None])
@pytest.mark.parametrize("number", ["1e131072", "-1e131072", "1e-16384"])
async def test_a_number_that_does_not_fit_is_refused(
    session: AsyncSession,
    kind: TypeEngine[Any] | None,
    number: str,
) -> None:
    statement = select(bindparam("number", Decimal(number), type_=kind))
    with pytest.raises(StatementError, match="more digits"):
        await session.execute(statement)


async def test_an_array_refuses_a_number_that_does_not_fit(session: AsyncSession) -> None:
    statement = select(bindparam("numbers", [Decimal("1e-16384")], type_=ARRAY(Numeric)))
    with pytest.raises(StatementError, match="more digits"):
        await session.execute(statement)


async def test_what_a_test_commits_is_rolled_back(
    rolled_back: Database,
    database: Database,
) -> None:
    async with rolled_back.transaction() as session:
        await session.execute(text("CREATE TABLE test_leftovers (id int)"))
    table = text("SELECT to_regclass('test_leftovers')")
    async with rolled_back.read_only() as session:
        assert await session.scalar(table) is not None
    async with database.read_only() as session:
        assert await session.scalar(table) is None


async def test_a_database_on_a_connection_is_complete(
    rolled_back: Database,
    database: Database,
) -> None:
    assert rolled_back.settings.database_url.database == database.settings.database_url.database
    assert rolled_back.engines == [database.engine]
    assert rolled_back.pool_status() == {}
    await rolled_back.ping()


async def test_units_on_a_connection_are_savepoints(rolled_back: Database) -> None:
    async with rolled_back.transaction() as session:
        await session.execute(text("CREATE TEMPORARY TABLE notes (id int)"))
    with pytest.raises(KeyError):
        async with rolled_back.transaction() as session:
            await session.execute(text("INSERT INTO notes VALUES (1)"))
            raise KeyError
    with pytest.raises(DBAPIError) as refusal:
        async with rolled_back.read_only() as session:
            await session.execute(text("CREATE TABLE test_refused (id int)"))
    assert sqlstate_of(refusal.value) == "25006"
    async with rolled_back.transaction() as session:
        await session.execute(text("INSERT INTO notes VALUES (2)"))
        notes = await session.scalars(text("SELECT id FROM notes"))
        assert notes.all() == [2]
{% endcall %}
