"""Alembic's environment: run its command on the database, or write the SQL of it."""

{% if cookiecutter.engine == "async" %}
import asyncio
import importlib
import logging
import pkgutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
{% else %}
import importlib
import logging
import pkgutil
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData
{% endif %}

from {{ cookiecutter.project_slug }} import models
from {{ cookiecutter.project_slug }}.database import Base
from {{ cookiecutter.project_slug }}.database.engine import create_database_engine
from {{ cookiecutter.project_slug }}.logs import set_up_logs
from {{ cookiecutter.project_slug }}.migrations.advice import advice
from {{ cookiecutter.project_slug }}.migrations.autogenerate import options
from {{ cookiecutter.project_slug }}.migrations.locking import (
    LONG_TIMEOUTS,
    SHORT_TIMEOUTS,
    migration_lock,
    resume_steps,
    retry_on_lock_timeout,
)
from {{ cookiecutter.project_slug }}.settings import Settings


def target_metadata() -> MetaData:
    """Return the metadata with the tables of every module in models/."""
    for module in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
        importlib.import_module(module.name)
    return Base.metadata


OPTIONS: dict[str, Any] = {**options(target_metadata()), "transaction_per_migration": True}


def main() -> None:
    if context.config.cmd_opts is not None:  # a command line; a program sets up its own logging
        set_up_logs()
        logging.getLogger("alembic.runtime").setLevel(logging.WARNING)
    if context.is_offline_mode():
        write_sql()
    else:
        run_on(context.config.attributes.get("connection"))


@advice()
def write_sql() -> None:
    """Write the SQL of the migrations instead of running it; needs no database."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        **OPTIONS,
    )
    for statement in SHORT_TIMEOUTS.sql():
        context.execute(statement)
    context.run_migrations()


@advice()
def run_command(connection: Connection) -> None:
    """Run the command on the connection; a transaction that is open already stays open."""
    in_transaction = connection.in_transaction()
    context.configure(connection=connection, **OPTIONS)
    command = context.get_context().opts
    if in_transaction:
        context.run_migrations()
    elif "destination_rev" in command:
        context.configure(connection=connection, fn=resume_steps(command["fn"]), **OPTIONS)
        with migration_lock(connection):
            retry_on_lock_timeout(context.run_migrations)
    else:  # it shows or compares
        context.run_migrations()
        connection.rollback()


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
def migration_engine() -> AsyncEngine:
    """Return an engine on the URL for migrations, with timeouts for long statements."""
    settings = context.config.attributes.get("settings") or Settings()
    url = settings.database_migration_url
    if url is None and settings.database_pgbouncer:
        raise CommandError(
            "DATABASE_PGBOUNCER is true, so set DATABASE_MIGRATION_URL to the server itself. "
            "Migrations need a session of their own, which PgBouncer does not give.",
        )
    changes = {
        "database_pgbouncer": False,
        "database_lock_timeout": LONG_TIMEOUTS.lock,
        "database_statement_timeout": LONG_TIMEOUTS.statement,
        "database_slow_query": LONG_TIMEOUTS.statement,
    }
    return create_database_engine(
        url or settings.database_url,
        settings.model_copy(update=changes),
    )
{% endcall %}


{% if cookiecutter.engine == "async" %}
def run_on(given: AsyncEngine | AsyncConnection | Engine | Connection | None) -> None:
    """Run the command on what a program gave, or else on an engine of its own."""
    match given:
        case None if loop_is_running():
            with ThreadPoolExecutor(1) as executor:
                executor.submit(asyncio.run, run_on_engine(migration_engine())).result()
        case None:
            asyncio.run(run_on_engine(migration_engine()))
        case AsyncEngine() if not loop_is_running():
            asyncio.run(run_on_engine(given))
        case AsyncEngine():
            run_on(given.sync_engine)
        case AsyncConnection():
            run_on(given.sync_connection)
        case Engine():
            with given.connect() as connection:
                run_command(connection)
        case Connection():
            run_command(given)


async def run_on_engine(engine: AsyncEngine) -> None:
    """Run the command on a connection of the engine; its connections end with the event loop."""
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run_command)
    finally:
        await engine.dispose()


def loop_is_running() -> bool:
    """Whether asyncio.run() is impossible in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
{% else %}
def run_on(given: Engine | Connection | None) -> None:
    """Run the command on what a program gave, or else on an engine of its own."""
    if isinstance(given, Connection):
        run_command(given)
        return
    engine = given or migration_engine()
    try:
        with engine.connect() as connection:
            run_command(connection)
    finally:
        if given is None:
            engine.dispose()
{% endif %}


main()
