"""Alembic's environment: which database, what is compared, and how migrations are run on it."""

{% if cookiecutter.engine == "async" %}
import asyncio
{% endif %}
import importlib
import logging
import pkgutil
{% if cookiecutter.engine == "async" %}
from concurrent.futures import ThreadPoolExecutor
{% endif %}

from alembic import context
from alembic.util import CommandError
{% if cookiecutter.engine == "async" %}
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
{% else %}
from sqlalchemy import Connection, Engine
{% endif %}

from {{ cookiecutter.project_slug }} import models
from {{ cookiecutter.project_slug }}.database import Base
from {{ cookiecutter.project_slug }}.database.engine import create_database_engine
from {{ cookiecutter.project_slug }}.migrations.advice import advice
from {{ cookiecutter.project_slug }}.migrations.autogenerate import options
from {{ cookiecutter.project_slug }}.migrations.running import (
    BRIEF,
    PATIENT,
    give_way,
    remaining_steps,
    turn,
)
from {{ cookiecutter.project_slug }}.settings import Settings

for module in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
    importlib.import_module(module.name)

OPTIONS = options(Base.metadata) | {"transaction_per_migration": True}


@advice()
def write_sql() -> None:
    """Writes the SQL of the migrations instead of running it; needs no database."""
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        **OPTIONS,
    )
    for statement in BRIEF.sql():
        context.execute(statement)
    context.run_migrations()


@advice()
def migrate(connection: Connection) -> None:
    """Does the command's work on the connection."""
    in_transaction = connection.in_transaction()
    context.configure(connection=connection, **OPTIONS)
    command = context.get_context().opts
    if in_transaction:
        context.run_migrations()
    elif "destination_rev" in command:
        context.configure(connection=connection, fn=remaining_steps(command["fn"]), **OPTIONS)
        with turn(connection):
            give_way(context.run_migrations)
    else:  # shows or compares
        context.run_migrations()
        connection.rollback()


def migration_engine() -> {{ 'AsyncEngine' if cookiecutter.engine == 'async' else 'Engine' }}:
    """An engine for what migrations connect to, which breaks off no long statement."""
    settings = context.config.attributes.get("settings") or Settings()
    url = settings.database_migration_url
    if url is None and settings.database_pgbouncer:
        raise CommandError(
            "DATABASE_PGBOUNCER is true: set DATABASE_MIGRATION_URL to the server itself, since "
            "migrations need a session of their own, which PgBouncer does not give",
        )
    changes = {
        "database_pgbouncer": False,
        "database_lock_timeout": PATIENT.lock,
        "database_statement_timeout": PATIENT.statement,
        "database_slow_query": PATIENT.statement,
    }
    return create_database_engine(
        url or settings.database_url,
        settings.model_copy(update=changes),
    )


{% if cookiecutter.engine == "async" %}
async def migrate_by(engine: AsyncEngine) -> None:
    """Migrates on a connection of the engine, all of whose connections end with the event loop."""
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def migrate_on(given: Engine | Connection) -> None:
    """Migrates on what a program has given."""
    if isinstance(given, Connection):
        migrate(given)
    else:
        with given.connect() as connection:
            migrate(connection)


def loop_is_running() -> bool:
    """Whether asyncio.run() is impossible in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


if context.config.cmd_opts is not None:  # a command line; programs have a logging of their own
    logging.basicConfig(format="%(levelname)s [%(name)s] %(message)s", level=logging.INFO)
    logging.getLogger("alembic.runtime").setLevel(logging.WARNING)

given = context.config.attributes.get("connection")
if context.is_offline_mode():
    write_sql()
elif given is None and loop_is_running():
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, migrate_by(migration_engine())).result()
elif given is None:
    asyncio.run(migrate_by(migration_engine()))
elif isinstance(given, AsyncEngine) and not loop_is_running():
    asyncio.run(migrate_by(given))
elif isinstance(given, AsyncEngine):
    migrate_on(given.sync_engine)
elif isinstance(given, AsyncConnection) and given.sync_connection is not None:
    migrate_on(given.sync_connection)
else:
    migrate_on(given)
{% else %}
def migrate_by(engine: Engine) -> None:
    """Migrates on a connection of the engine."""
    with engine.connect() as connection:
        migrate(connection)


if context.config.cmd_opts is not None:  # a command line; programs have a logging of their own
    logging.basicConfig(format="%(levelname)s [%(name)s] %(message)s", level=logging.INFO)
    logging.getLogger("alembic.runtime").setLevel(logging.WARNING)

given = context.config.attributes.get("connection")
if context.is_offline_mode():
    write_sql()
elif given is None:
    engine = migration_engine()
    try:
        migrate_by(engine)
    finally:
        engine.dispose()
elif isinstance(given, Engine):
    migrate_by(given)
else:
    migrate(given)
{% endif %}
