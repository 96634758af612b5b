"""What watches SQLAlchemy sees every statement, those of fetch() too."""

from typing import Any

import pytest
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Engine, bindparam, column, event, select, table, text, update

from .conftest import Connect, administer
from .servers import PASSWORD, PostgreSQL

pytestmark = pytest.mark.slow

ACCOUNTS = table("accounts", column("id"), column("amount"))
BY_ID = select(ACCOUNTS).where(ACCOUNTS.c.id == bindparam("account_id"))
WRITE = update(ACCOUNTS).where(ACCOUNTS.c.id == bindparam("account_id")).values(amount=1)
VALUES = {"account_id": 1}


def use(database: Any) -> None:
    for _ in range(4):
        assert len(database.fetch(BY_ID, VALUES)) == 1
        assert database.fetch(WRITE, VALUES) == []
    with database.read_only() as session:
        session.execute(text("SELECT 1"))
    with database.transaction() as session:
        session.execute(text("SELECT 2"))


def assert_all_are_there(statements: list[str]) -> None:
    of_select = [each for each in statements if each.startswith("SELECT accounts")]
    of_update = [each for each in statements if each.startswith("UPDATE accounts")]
    assert (len(of_select), len(of_update)) == (4, 4)
    assert statements.count("SELECT 1") == statements.count("SELECT 2") == 1


@pytest.mark.parametrize("is_used_before", [False, True])
def test_opentelemetry_sees_every_statement(
    server: PostgreSQL, connect: Connect, is_used_before: bool
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    database = connect()
    if is_used_before:
        use(database)
    instrumentor = SQLAlchemyInstrumentor()
    instrumentor.instrument(
        engines=[getattr(engine, "sync_engine", engine) for engine in database.engines],
        tracer_provider=provider,
        skip_dep_check=True,  # it does not know SQLAlchemy 2.1 yet
    )
    try:
        use(database)
    finally:
        instrumentor.uninstrument()
    spans = [span for span in exporter.get_finished_spans() if span.attributes]
    assert_all_are_there([str(span.attributes.get("db.statement")) for span in spans])  # type: ignore[union-attr]  # those without are left out
    shown = str([dict(span.attributes or {}) for span in spans])
    assert PASSWORD not in shown
    assert "'net.peer.name': '127.0.0.1'" in shown
    assert "'db.name': 'service'" in shown


@pytest.mark.parametrize("name", ["before_cursor_execute", "after_cursor_execute"])
@pytest.mark.parametrize("is_used_before", [False, True])
def test_listeners_of_all_engines_hear_every_statement(
    server: PostgreSQL, connect: Connect, name: str, is_used_before: bool
) -> None:
    """As those of Sentry, which listen to the class Engine."""
    heard: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        heard.append(statement)

    database = connect()
    if is_used_before:
        use(database)
    event.listen(Engine, name, hear)
    try:
        use(database)
    finally:
        event.remove(Engine, name, hear)
    assert_all_are_there(heard)


def test_an_error_of_fetch_is_heard_with_its_statement(
    server: PostgreSQL, connect: Connect
) -> None:
    heard: list[str | None] = []
    database = connect()
    use(database)
    event.listen(Engine, "handle_error", lambda context: heard.append(context.statement))
    with administer(server) as connection:
        connection.execute("ALTER TABLE accounts RENAME TO hidden")
        try:
            with pytest.raises(Exception, match="accounts"):
                database.fetch(BY_ID, VALUES)
        finally:
            connection.execute("ALTER TABLE hidden RENAME TO accounts")
    assert [each for each in heard if each and each.startswith("SELECT accounts")]
