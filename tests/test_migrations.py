"""Migrations of rendered projects: many at once, in use, killed, undone, and from a wheel."""

import ast
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from deployments import Deployment, environment
from projects import TEMPLATE, BakedProject
from pytest_cookies.plugin import Cookies

pytestmark = pytest.mark.slow

FIRST, HEAD = "6d1f2a9c4b7e", "8e27c05d91fa"


@pytest.fixture(scope="session", params=["async", "sync"])
def rendered(request: pytest.FixtureRequest, cookies_session: Cookies) -> BakedProject:
    result: Any = cookies_session.bake(  # type: ignore[no-untyped-call]  # pytest-cookies ships no types
        extra_context={"engine": request.param}, template=str(TEMPLATE)
    )
    assert result.exception is None, result.exception
    return BakedProject(result.project_path, result.context)


def test_ten_processes_upgrade_at_once(deployment: Deployment) -> None:
    deployment.add_revision(
        "filled",
        """op.execute(
            "INSERT INTO users (name, email) SELECT 'a', i FROM generate_series(1, 200000) i"
        )""",
    )
    deployment.add_revision("indexed", 'online.create_index("ix_users_name", "users", ["name"])')

    processes = [deployment.start("upgrade head") for _ in range(10)]
    for process in processes:
        process.join(60)
    outputs = [deployment.output(run) for run in range(10)]

    assert [process.exitcode for process in processes] == [0] * 10, outputs
    said = "".join(outputs)
    assert re.findall(r"Running upgrade \w* -> (\w+)", said) == [FIRST, HEAD, "filled", "indexed"]
    assert "is migrating this database; waiting until it ends" in said
    assert deployment.sql("SELECT version_num FROM alembic_version") == ["indexed"]
    assert deployment.sql(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_users_name'::regclass"
    ) == [True]


def test_a_migration_gives_way_to_those_who_use_the_table(deployment: Deployment) -> None:
    deployment.run("upgrade head")
    deployment.add_revision("widened", 'op.add_column("posts", sa.Column("summary", sa.Text()))')
    waits: list[float] = []
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(deployment.url, autocommit=True) as connection:
            while not done.is_set():
                started = time.monotonic()
                connection.execute("SELECT FROM posts LIMIT 1")
                waits.append(time.monotonic() - started)
                time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with psycopg.connect(deployment.url) as in_use:
            in_use.execute("SELECT FROM posts")
            process = deployment.start("upgrade head")
            wait_until(lambda: deployment.output().count("lock timeout; trying again in") >= 2, 60)
            in_use.rollback()
        process.join(30)
    finally:
        done.set()
        reader.join()

    assert process.exitcode == 0, deployment.output()
    print(f"longest wait of {len(waits)} reads: {max(waits):.2f} s")
    assert 1 < max(waits) < 3  # lock_timeout is 2 s
    assert deployment.sql("SELECT summary FROM posts") == []


def test_a_killed_upgrade_leaves_a_whole_revision_and_a_free_lock(deployment: Deployment) -> None:
    for table in ("a", "b"):
        creations = [
            f'op.execute("CREATE TABLE {table}{number} AS SELECT generate_series(1, 50000) i")'
            for number in (1, 2)
        ]
        deployment.add_revision(f"tables_{table}", "\n    ".join(creations))
        deployment.add_revision(
            f"index_{table}", f'online.create_index("ix_{table}", "{table}1", ["i"])'
        )
        deployment.add_revision(f"required_{table}", f'online.set_not_null("{table}2", "i")')
    tables_at: dict[str, list[str]] = {"": [], FIRST: [], HEAD: []}
    tables_at |= {f"{step}_a": ["a1", "a2"] for step in ("tables", "index", "required")}
    tables_at |= {f"{step}_b": ["a1", "a2", "b1", "b2"] for step in ("tables", "index", "required")}
    reached: list[str] = []

    def has_begun(process: ForkServerProcess, step: int) -> bool:
        return deployment.output().count("Running") >= step or not process.is_alive()

    while len(reached) < 20:
        process = deployment.start("upgrade head")
        wait_until(partial(has_begun, process, random.randint(1, 8)))
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            wait_until(
                lambda: deployment.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory'") == []
            )
            tables = "SELECT relname FROM pg_class WHERE relname ~ '^[ab][12]$' ORDER BY relname"
            left = deployment.sql(tables)
            output = deployment.run("current", "upgrade head")
            current = re.search(r"^(\w+)(?: \(head\))?$", output, re.MULTILINE)
            reached.append(current[1] if current else "")
            assert left == tables_at[reached[-1]]
        deployment.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    print(f"killed at {reached}")
    assert len(set(reached)) > 3


@pytest.mark.parametrize("rows", [150_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_backfill_is_short_transactions_and_goes_on_after_a_kill(
    deployment: Deployment, rows: int
) -> None:
    deployment.run("upgrade head")
    deployment.sql("INSERT INTO users (name, email) VALUES ('a', 'a')")
    deployment.sql(
        "INSERT INTO posts (title, body, author_id) "
        f"SELECT 'a', repeat('b', 200), 1 FROM generate_series(1, {rows}); ANALYZE"
    )
    deployment.add_revision(
        "expanded",
        'op.add_column("posts", sa.Column("summary", sa.String(20)))',
        'backfill = Backfill("posts", "summary IS NULL", "summary = left(body, 20)")',
    )
    deployment.add_revision(
        "contracted", 'require_backfilled("expanded"); online.set_not_null("posts", "summary")'
    )
    too_early = deployment.start("upgrade head")
    too_early.join()
    assert too_early.exitcode != 0
    assert (
        "FAILED: posts has pending rows. Run the backfill of expanded first." in deployment.output()
    )
    longest = [0.0]
    done = threading.Event()

    def watch() -> None:
        statement = f"""
            SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::float
            FROM pg_stat_activity WHERE application_name = '{deployment.path.name}'
        """
        while not done.is_set():
            longest.extend(age for age in deployment.sql(statement) if age)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        process = deployment.start("backfill expanded")
        wait_until(lambda: "%, " in deployment.output(), 60)
        process.kill()
        process.join()
        [pending] = deployment.sql("SELECT count(*) FROM posts WHERE summary IS NULL")
        started = time.monotonic()
        output = deployment.run("backfill expanded")
    finally:
        done.set()
        watcher.join()

    print(f"{rows - pending} rows, killed, {pending} in {time.monotonic() - started:.1f} s,")
    print(f"longest transaction of {len(longest)} seen: {max(longest):.2f} s")
    assert 0 < pending < rows
    assert f"posts: done, {rows} rows read, {pending} changed" in output
    assert 0 < max(longest) < 1
    deployment.run("upgrade head")
    nullable = "SELECT NOT attnotnull FROM pg_attribute WHERE attname = 'summary'"
    assert deployment.sql(nullable) == [False]


CHANGES = {
    "column": (
        {"age: Mapped[int | None]": "age: Mapped[int | None]\n    nickname: Mapped[str | None]"},
        ["op.add_column('users', sa.Column('nickname', sa.String(), nullable=True))"],
    ),
    "column of a type of the project": (
        {
            "from enum": "from datetime import datetime\nfrom enum",
            "age: Mapped[int | None]": "age: Mapped[int | None]\n    seen: Mapped[datetime | None]",
        },
        ["op.add_column('users', sa.Column('seen', sa.DateTime(timezone=True), nullable=True))"],
    ),
    "type": (
        {"String(100)": "String(120)"},
        [
            "op.alter_column('users', 'name', existing_type=sa.VARCHAR(length=100), "
            "type_=sa.String(length=120), existing_nullable=False)"
        ],
    ),
    "server default": (
        {'server_default="true"': 'server_default="false"'},
        [
            "op.alter_column('users', 'is_active', existing_type=sa.BOOLEAN(), "
            "server_default='false', existing_nullable=False)"
        ],
    ),
    "CHECK": (
        {"        Check": "        CheckConstraint('age < 200', name='old'),\n        Check"},
        ["op.create_check_constraint(op.f('ck_users_old'), 'users', 'age < 200')"],
    ),
    "index": (
        {"        Index(": "        Index(None, 'name'),\n        Index("},
        ["op.create_index(op.f('ix_users_name'), 'users', ['name'], unique=False)"],
    ),
    "unique": (
        {"        Index(": "        UniqueConstraint('name'),\n        Index("},
        ["op.create_unique_constraint(op.f('uq_users_name'), 'users', ['name'])"],
    ),
    "enum value": (
        {'MEMBER = "member"': 'MEMBER = "member"\n    GUEST = "guest"'},
        [
            """op.execute("ALTER TYPE public.user_role ADD VALUE 'guest' AFTER 'member'")""",
        ],
    ),
    "foreign key option": (
        {'ondelete="CASCADE"': 'ondelete="RESTRICT"'},
        [
            "op.drop_constraint(op.f('fk_posts_author_id_users'), 'posts', type_='foreignkey')",
            "op.create_foreign_key(op.f('fk_posts_author_id_users'), 'posts', 'users', "
            "['author_id'], ['id'], ondelete='RESTRICT')",
        ],
    ),
    "comment": (
        {"age: Mapped[int | None]": "age: Mapped[int | None] = mapped_column(comment='in years')"},
        [
            "op.alter_column('users', 'age', existing_type=sa.BIGINT(), comment='in years', "
            "existing_nullable=True)"
        ],
    ),
}


@pytest.mark.parametrize(("replacements", "operations"), CHANGES.values(), ids=CHANGES)
def test_autogenerate_sees_each_change_alone(
    deployment: Deployment, replacements: dict[str, str], operations: list[str]
) -> None:
    for path in (deployment.package / "models/user.py", deployment.package / "models/post.py"):
        source = path.read_text()
        for old, new in replacements.items():
            source = source.replace(old, new, 1)
        path.write_text(source)

    deployment.run(
        "upgrade head",
        "revision --autogenerate --rev-id changed -m change",
        "upgrade head",
        "check",
        f"downgrade {HEAD}",
        "upgrade head",
        "check",
    )

    [revision] = deployment.package.glob("migrations/versions/*_change.py")
    bodies = {
        node.name: node.body
        for node in ast.parse(revision.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert [ast.unparse(statement) for statement in bodies["upgrade"]] == operations
    for command in (["check"], ["format", "--check"]):
        subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--quiet", revision],
            cwd=deployment.path,
            check=True,
        )


def test_an_installed_wheel_migrates_outside_of_the_checkout(
    deployment: Deployment, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    uv = ["uv", "--quiet", "--no-config"]
    subprocess.run([*uv, "build", "--wheel", "--out-dir", tmp_path, deployment.path], check=True)
    [wheel] = tmp_path.glob("*.whl")
    subprocess.run([*uv, "pip", "install", "--no-deps", "--target", elsewhere, wheel], check=True)

    def migrations(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", f"{deployment.path.name}.migrations", *arguments],
            cwd=elsewhere,
            env=environment(DATABASE_URL=deployment.url),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    migrations("upgrade", "head")
    assert migrations("heads") == migrations("current") == f"{HEAD} (head)\n"


def test_an_index_takes_the_place_of_an_invalid_one_and_of_no_other(deployment: Deployment) -> None:
    deployment.run("upgrade head")
    deployment.sql("INSERT INTO users (name, email) VALUES ('a', '1'), ('a', '2')")
    for name in ("uq_users_name", "another"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            deployment.sql(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON users (name)")
    deployment.sql("DELETE FROM users")
    deployment.add_revision(
        "indexed", 'online.create_index("uq_users_name", "users", ["name"], unique=True)'
    )
    deployment.run("upgrade head")
    valid = "SELECT indexrelid::regclass || ' ' || indisvalid FROM pg_index ORDER BY indexrelid"
    assert deployment.sql(valid)[-2:] == ["another false", "uq_users_name true"]


PROGRAMS = {
    "async": """
import asyncio, logging
from alembic import command
from sqlalchemy import text
from {slug}.database.engine import create_database_engine
from {slug}.migrations import alembic_config, heads
from {slug}.settings import Settings

settings = Settings()

def up_and_down(connectable=None):
    config = alembic_config(settings)
    config.attributes["connection"] = connectable
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")

async def main(engine):
    up_and_down()
    await asyncio.to_thread(up_and_down)
    async with engine.connect() as connection:
        for given in (connection.sync_connection, connection, engine, engine.sync_engine):
            await connection.run_sync(lambda _, given=given: up_and_down(given))
        assert await connection.scalar(text("SHOW lock_timeout")) == "5s"
        await connection.rollback()
        async with connection.begin() as transaction:
            await connection.run_sync(up_and_down)
            assert transaction.is_active
    await engine.dispose()

logger = logging.getLogger("application")
engine = create_database_engine(settings.database_url, settings)
up_and_down()
up_and_down(engine)
asyncio.run(main(engine))
assert not logger.disabled and not logging.getLogger().handlers
print(heads())
""",
    "sync": """
import logging
from alembic import command
from sqlalchemy import text
from {slug}.database.engine import create_database_engine
from {slug}.migrations import alembic_config, heads
from {slug}.settings import Settings

settings = Settings()

def up_and_down(connectable=None):
    config = alembic_config(settings)
    config.attributes["connection"] = connectable
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")

logger = logging.getLogger("application")
engine = create_database_engine(settings.database_url, settings)
up_and_down()
up_and_down(engine)
with engine.connect() as connection:
    up_and_down(connection)
    assert connection.scalar(text("SHOW lock_timeout")) == "5s"
    connection.rollback()
    with connection.begin() as transaction:
        up_and_down(connection)
        assert transaction.is_active
engine.dispose()
assert not logger.disabled and not logging.getLogger().handlers
print(heads())
""",
}


def test_a_program_migrates_with_what_it_has(
    deployment: Deployment, rendered: BakedProject
) -> None:
    """By settings, or on an engine or a connection, in a running event loop or not."""
    program = PROGRAMS[rendered.answers["engine"]].format(slug=rendered.slug)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment(DATABASE_URL=deployment.url),
        cwd=deployment.path,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == str([HEAD])


def test_behind_pgbouncer_migrations_ask_for_a_url_of_their_own(deployment: Deployment) -> None:
    def upgrade(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            env=environment(DATABASE_PGBOUNCER="true", **variables),
            cwd=deployment.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    refused = upgrade(DATABASE_URL=deployment.url)
    assert refused.returncode != 0
    assert "FAILED: DATABASE_PGBOUNCER is true, so set DATABASE_MIGRATION_URL" in refused.stdout
    elsewhere = "postgresql://nobody@pgbouncer.invalid/none"
    done = upgrade(DATABASE_URL=elsewhere, DATABASE_MIGRATION_URL=deployment.url)
    assert done.returncode == 0, done.stdout
    assert deployment.sql("SELECT version_num FROM alembic_version") == [HEAD]


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
