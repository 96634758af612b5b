"""What you own: each test is one promise of the database layer, shown on a table of its own."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
{% if cookiecutter.engine == "async" %}
import socket
{% endif %}
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
{% if cookiecutter.fastapi %}
from fastapi import FastAPI
{% endif %}
from sqlalchemy import bindparam, event, func, select, text
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

{% if cookiecutter.fastapi %}
from {{ cookiecutter.project_slug }}.api.dependencies import DatabaseDep
{% endif %}
from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of, faults
from {{ cookiecutter.project_slug }}.settings import Settings

{% if cookiecutter.fastapi %}
from .api.clients import client_for

{% endif %}

class Model(DeclarativeBase):
    """The base of this module's table, which no migration knows."""


class Account(Model):
    __tablename__ = "contract_accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(8), unique=True)
    balance: Mapped[int] = mapped_column(sa.CheckConstraint("balance >= 0"), server_default="100")
    friend_id: Mapped[int | None] = mapped_column(sa.ForeignKey("contract_accounts.id"))
    seat: Mapped[int | None]
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (sa.UniqueConstraint("seat", deferrable=True, initially="DEFERRED"),)
    __mapper_args__ = {"version_id_col": version}


BALANCE = select(Account.balance).where(Account.id == 1)
DEPOSIT = sa.update(Account).where(Account.id == 1).values(balance=Account.balance + 1)
OPEN, CLOSE = sa.insert(Account), sa.delete(Account)
ERRORS = {
    "unique": (OPEN.values(id=3, name="Ann"), Fault.CONFLICT),
    "refers": (OPEN.values(id=3, name="C", friend_id=4), Fault.CONFLICT),
    "is-referred-to": (CLOSE.where(Account.id == 1), Fault.CONFLICT),
    "check": (OPEN.values(id=3, name="C", balance=-1), Fault.INVALID),
    "too-long": (OPEN.values(id=3, name="Cornelius"), Fault.INVALID),
    "nul": (OPEN.values(id=3, name="\0"), Fault.INVALID),
    "not-null": (OPEN.values(id=3, name=None), None),
}
END = select(func.pg_terminate_backend(bindparam("pid", type_=sa.Integer), 5000).label("ended"))
KILL = select(func.pg_terminate_backend(func.pg_backend_pid()).label("killed"))
SLEEP = select(func.pg_sleep(bindparam("seconds", type_=sa.Double)).label("slept"))
# COMMIT runs the deferred trigger, which ends the server's side of the connection.
DIE_AT_COMMIT = (
    "CREATE FUNCTION contract_die() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON contract_accounts DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW WHEN (NEW.balance = 13) EXECUTE FUNCTION contract_die()",
)


@pytest.fixture
async def accounts(database: Database) -> AsyncIterator[Database]:
    """The worker's Database, with the accounts of Ann and of Ben, who refers to hers."""
    async with database.transaction() as session:
        await session.execute(sa.schema.CreateTable(Model.metadata.tables["contract_accounts"]))
        for statement in DIE_AT_COMMIT:
            await session.execute(text(statement))
        session.add_all([Account(name="Ann"), Account(name="Ben", friend_id=1)])  # 1 and 2
    yield database
    async with database.transaction() as session:
        await session.execute(text("DROP TABLE contract_accounts"))
        await session.execute(text("DROP FUNCTION contract_die"))


@pytest.fixture
async def impatient(accounts: Database, database_url: str) -> AsyncIterator[Database]:
    """A Database that soon gives up, with one connection to write and one to read."""
    settings = Settings(
        database_url=database_url,
        database_pool_size=1,
        database_max_overflow=0,
        database_pool_timeout=0.1,
        database_statement_timeout=0.3,
        database_lock_timeout=0.1,
    )
    async with Database(settings) as impatient:
        yield impatient


async def balance(database: Database) -> Any:
    rows = await database.fetch(BALANCE)
    return rows[0]["balance"]


async def write(database: Database, statement: Any, values: Any = None) -> None:
    async with database.transaction() as session:
        await session.execute(statement, values)


async def read(database: Database, statement: Any, **options: bool) -> None:
    async with database.read_only(**options) as session:
        await session.execute(statement)


async def fails(fault: Fault | None, function: Any, *arguments: Any, **options: Any) -> Any:
    """The error of a call, which must fail in this way."""
    with pytest.raises(SQLAlchemyError) as failure:
        await function(*arguments, **options)
    assert fault_of(failure.value) is fault
    return failure.value


async def test_a_transaction_is_committed_at_its_end_and_not_before(accounts: Database) -> None:
    async with accounts.transaction() as session:
        await session.execute(DEPOSIT)
        assert await balance(accounts) == 100
    assert await balance(accounts) == 101


{% if cookiecutter.fastapi %}
async def test_a_success_is_answered_after_the_commit(accounts: Database, app: FastAPI) -> None:
    app.state.database = accounts

    @app.post("/seats")
    async def take_seat(database: DatabaseDep, account: int) -> None:
        await write(database, sa.update(Account).values(seat=1).where(Account.id == account))

    async with client_for(app) as client:
        answers = [await client.post(f"/seats?account={number}") for number in (1, 2)]
    assert [answer.status_code for answer in answers] == [200, 409]
{% else %}
async def test_what_the_commit_refuses_raises(accounts: Database) -> None:
    await fails(Fault.CONFLICT, write, accounts, sa.update(Account).values(seat=1))  # of both
{% endif %}


async def test_an_exception_undoes_all_and_frees_the_connection(impatient: Database) -> None:
    for _ in range(2):
        with pytest.raises(KeyError):
            async with impatient.transaction() as session:
                await session.execute(DEPOSIT)
                raise KeyError
    assert await balance(impatient) == 100
{% if cookiecutter.engine == "async" %}


async def test_a_cancellation_undoes_all_and_frees_the_connection(impatient: Database) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), impatient.transaction() as session:
                await session.execute(DEPOSIT)
                await session.execute(SLEEP, {"seconds": 9})
        await impatient.fetch(SLEEP, {"seconds": 0})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await impatient.fetch(SLEEP, {"seconds": 9})
    assert await balance(impatient) == 100
{% endif %}


async def test_the_server_refuses_a_write_while_reading(accounts: Database) -> None:
    hidden = select(sa.insert(Account).values(id=3, name="Eve").returning(Account.id).cte())
    for options in ({}, {"snapshot": True}, {"stale_ok": True}):
        for statement in (DEPOSIT, hidden):
            error = await fails(None, read, accounts, statement, **options)
            assert faults.sqlstate_of(error) == "25006"
    sequence = select(func.nextval(bindparam("name", type_=sa.String)).label("number"))
    for _ in range(3):  # fetch() goes another way from the third time on
        await accounts.fetch(sequence, {"name": None})
        error = await fails(None, accounts.fetch, sequence, {"name": "contract_accounts_id_seq"})
        assert faults.sqlstate_of(error) == "25006"


async def test_a_change_that_a_read_would_lose_raises(accounts: Database) -> None:
    with pytest.raises(InvalidRequestError, match="changes of Account"):
        async with accounts.read_only() as session:
            account = await session.get_one(Account, 1)
            account.balance = 0


async def test_a_wait_for_a_connection_ends(impatient: Database) -> None:
    async with impatient.transaction(), impatient.read_only():
        for execute in (write, read, Database.fetch):
            await fails(Fault.UNAVAILABLE, execute, impatient, BALANCE)


async def test_a_wait_for_a_lock_ends(accounts: Database, impatient: Database) -> None:
    async with accounts.transaction() as holder:
        await holder.execute(DEPOSIT)
        for execute in (write, Database.fetch):
            await fails(Fault.UNAVAILABLE, execute, impatient, DEPOSIT)


async def test_a_statement_that_takes_too_long_is_ended(impatient: Database) -> None:
    for _ in range(3):
        await impatient.fetch(SLEEP, {"seconds": 0})
        await fails(Fault.TIMED_OUT, impatient.fetch, SLEEP, {"seconds": 9})


async def test_a_lost_connection_is_replaced(accounts: Database, impatient: Database) -> None:
    for execute in (write, read, Database.fetch, Database.fetch):
        await fails(Fault.UNAVAILABLE, execute, impatient, KILL)
        [idle] = await impatient.fetch(select(func.pg_backend_pid().label("pid")))
        await accounts.fetch(END, idle)
        assert await balance(impatient) == 100


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_has_one_meaning(accounts: Database, name: str) -> None:
    statement, fault = ERRORS[name]
    for execute in (write, Database.fetch):
        error = await fails(fault, execute, accounts, statement)
        assert faults.is_still_referred_to(error) == (name == "is-referred-to")


async def test_a_row_that_somebody_else_has_changed_is_stale(accounts: Database) -> None:
    with pytest.raises(SQLAlchemyError) as failure:
        async with accounts.transaction() as session:
            account = await session.get_one(Account, 1)
            async with accounts.transaction() as rival:
                theirs = await rival.get_one(Account, 1)
                theirs.balance = 7
            account.balance = 8
    assert fault_of(failure.value) is Fault.STALE


async def test_a_lost_commit_leaves_the_outcome_unknown(accounts: Database) -> None:
    die = sa.update(Account).where(Account.id == bindparam("key")).values(balance=13)
    await fails(Fault.OUTCOME_UNKNOWN, write, accounts, die, {"key": 1})
    for _ in range(3):
        await accounts.fetch(die, {"key": 7})  # which is nobody's
        await fails(Fault.OUTCOME_UNKNOWN, accounts.fetch, die, {"key": 1})


async def test_run_repeats_its_work_after_a_serialization_failure(accounts: Database) -> None:
    attempts: list[Any] = []

    async def deposit(session: Any) -> None:
        found = await session.scalar(BALANCE)
        attempts.append(found)
        if len(attempts) < 3:
            async with accounts.transaction() as rival:
                await rival.execute(DEPOSIT)
        await session.execute(DEPOSIT)

    await accounts.run(deposit, isolation_level="SERIALIZABLE")
    assert attempts == [100, 101, 102]


async def test_fetch_commits_before_it_returns(accounts: Database) -> None:
    for key in (3, 4, 5):
        assert await accounts.fetch(OPEN, {"name": f"{key}"}) == []
        async with accounts.read_only() as session:
            assert await session.get(Account, key)
    assert await accounts.fetch(CLOSE.returning(Account.id)) == [{"id": n} for n in range(1, 6)]


async def test_fetch_gives_what_sqlalchemy_gives_each_time(accounts: Database) -> None:
    fault = sa.literal(Fault.STALE, sa.Enum(Fault, native_enum=False)).label("fault")
    statement = select(Account.name, fault).where(Account.id == bindparam("key"))
    for key in (1, 2, 1, 9):
        async with accounts.read_only() as session:
            expected = await session.execute(statement, {"key": key})
            found = await accounts.fetch(statement, {"key": key})
            assert found == [dict(row) for row in expected.mappings()]


async def test_fetch_refuses_what_it_could_not_do_right(accounts: Database) -> None:
    async with accounts.transaction():  # which could not undo it
        await fails(None, accounts.fetch, DEPOSIT)
    with pytest.raises(TypeError, match=r"session\.execute"):
        await accounts.fetch(text("SELECT 1"))  # type: ignore[arg-type]


# This and the last tests fail when a name goes that its package does not document.
async def test_dispatch_tells_fetch_who_watches(impatient: Database) -> None:
    seen: list[Any] = []
    for _ in range(3):
        await balance(impatient)
    for engine in impatient.engines:
        event.listen(engine.sync_engine, "after_cursor_execute", lambda *call: seen.append(call))
    await balance(impatient)
    assert len(seen) == 1
{% if cookiecutter.engine == "async" %}


async def test_start_transaction_makes_a_copy_a_part_of_it(accounts: Database) -> None:
    with pytest.raises(KeyError):
        async with accounts.transaction() as session:
            connection = await session.connection()
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            await driver.copy_records_to_table("contract_accounts", records=[(3, "C", 1, 1, 1, 1)])
            raise KeyError
    assert await accounts.fetch(select(Account.id).where(Account.id == 3)) == []


async def test_transport_gives_the_socket_of_tcp(database: Database) -> None:
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        connected = driver._transport.get_extra_info("socket")
    if connected.family != socket.AF_UNIX:
        timeout = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert timeout == round(database.settings.database_tcp_user_timeout * 1000)
{% endif %}
{% endcall %}
