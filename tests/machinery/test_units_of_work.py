"""Units of work on tables of their own: what the contract says, and what surrounds it."""

{% if cookiecutter.engine == "async" %}
import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from sqlalchemy import Executable, QueuePool, bindparam, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
{% else %}
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from sqlalchemy import Executable, QueuePool, bindparam, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
{% endif %}

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from {{ cookiecutter.project_slug }}.database import Database, Fault, engine, fault_of
from {{ cookiecutter.project_slug }}.database.faults import sqlstate_of
from {{ cookiecutter.project_slug }}.settings import Settings

NOWHERE = "postgresql://postgres:secret@127.0.0.1:1/postgres"
BALANCE = text("SELECT balance FROM test_accounts WHERE id = 1")
DEPOSIT = text("UPDATE test_accounts SET balance = balance + 1 WHERE id = 1")
LEVELS: tuple[Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"], ...] = (
    "READ COMMITTED",
    "REPEATABLE READ",
    "SERIALIZABLE",
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


@pytest.fixture
async def single(accounts: Database, database_url: str) -> AsyncIterator[Database]:
    """A Database with one connection to write and one to read."""
    settings = Settings(database_url=database_url, database_pool_size=1, database_max_overflow=0)
    async with Database(settings) as database:
        yield database


async def balance(database: Database) -> int:
    async with database.read_only() as session:
        found = await session.scalar(BALANCE)
        return int(found)


def checked_out(database: Database) -> int:
    pools = [watched.sync_engine.pool for watched in database.engines]
    return sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))


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
    level: Literal["SERIALIZABLE"] | None,
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
    single: Database,
) -> None:
    async with single.read_only() as session:
        await execute_on_driver(session, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert await session.scalar(BALANCE) == 100
    async with accounts.transaction() as session:
        await session.execute(DEPOSIT)
    async with single.read_only() as session:
        assert await session.scalar(BALANCE) == 101


async def test_a_tenant_is_that_of_one_transaction(single: Database) -> None:
    set_tenant = text("SELECT set_config('app.tenant', 'acme', true)")
    tenant = text("SELECT current_setting('app.tenant', true)")
    async with single.read_only(snapshot=True) as session:
        await session.execute(set_tenant)
        assert await session.scalar(tenant) == "acme"
    async with single.read_only() as session:  # each statement is a transaction of its own
        await session.execute(set_tenant)
        found = await session.scalar(tenant)
        assert not found
    async with single.transaction() as session:
        await session.execute(set_tenant)
        assert await session.scalar(tenant) == "acme"
    async with single.transaction() as session:
        found = await session.scalar(tenant)
        assert not found


async def test_a_listener_may_wait_longer_than_a_statement(database: Database) -> None:
    async def notify() -> None:
        async with database.transaction() as session:
            await session.execute(text("NOTIFY news, 'hello'"))

    async with database.engines[1].connect() as connection:
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


async def test_a_stream_is_read_in_a_snapshot(single: Database) -> None:
    numbers = text("SELECT generate_series(1, 1000)").execution_options(yield_per=100)
    for _ in range(2):
        async with single.read_only(snapshot=True) as session:
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


@pytest.mark.parametrize("change", ["add", "change", "delete"])
@pytest.mark.parametrize("options", [{}, {"snapshot": True}, {"stale_ok": True}], ids=str)
@pytest.mark.parametrize("has_replica", [False, True])
async def test_a_change_that_a_read_would_lose_is_an_error_that_names_the_class(
    accounts: Database,
    database_url: str,
    change: str,
    options: dict[str, bool],
    has_replica: bool,
) -> None:
    replica_url = database_url if has_replica else None
    settings = Settings(database_url=database_url, database_replica_url=replica_url)
    async with Database(settings) as database:
        with pytest.raises(InvalidRequestError, match="Account") as refusal:
            async with database.read_only(**options) as session:
                account = await session.get_one(Account, 1)
                if change == "add":
                    session.add(Account(id=2, balance=4711))
                elif change == "delete":
                    await session.delete(account)
                else:
                    account.balance = 4711
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


@pytest.mark.parametrize("level", LEVELS)
async def test_an_isolation_level_is_that_of_its_unit_alone(
    database: Database,
    level: Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"],
) -> None:
    show = text("SHOW transaction_isolation")
    async with database.transaction(isolation_level=level) as session:
        assert await session.scalar(show) == level.lower()
    async with database.transaction() as session:
        assert await session.scalar(show) == "read committed"


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


async def test_a_connection_that_was_ended_while_idle_costs_nobody_an_error(
    accounts: Database,
    single: Database,
) -> None:
    pid = text("SELECT pg_backend_pid()")
    end = text("SELECT pg_terminate_backend(:pid, 5000)")  # waits until it is gone
    for unit in (single.transaction, single.read_only):
        async with unit() as session:
            first = await session.scalar(pid)
        async with accounts.transaction() as session:
            await session.execute(end, {"pid": first})
        async with unit() as session:
            assert await session.scalar(pid) != first
    assert checked_out(single) == 0


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
{% endcall %}
