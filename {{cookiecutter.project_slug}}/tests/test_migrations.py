"""The revisions agree with the models, can be undone, and suit a live database."""

import subprocess
import sysconfig
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from {{ cookiecutter.project_slug }}.database import Base
from {{ cookiecutter.project_slug }}.migrations import alembic_config, catalogue, heads
from {{ cookiecutter.project_slug }}.settings import Settings

from .databases import execute, run_on

PROJECT = Path(__file__).parents[1]
# What an extension made is not a revision's; the types and functions of a table go with it.
OBJECTS = """
    WITH objects AS (
        SELECT 'pg_class'::regclass AS catalogue, oid, relnamespace AS namespace, relname AS name
        FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
        UNION ALL
        SELECT 'pg_type'::regclass, oid, typnamespace, typname
        FROM pg_type WHERE typrelid = 0 AND typcategory <> 'A'
        UNION ALL
        SELECT 'pg_proc'::regclass, oid, pronamespace, proname FROM pg_proc
        UNION ALL
        SELECT 'pg_namespace'::regclass, oid, oid, nspname FROM pg_namespace
        WHERE nspname <> 'public'
    )
    SELECT name FROM objects JOIN pg_namespace ON pg_namespace.oid = namespace
    WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = catalogue AND objid = objects.oid AND deptype IN ('e', 'i')
    )
"""
# An index serves a foreign key if it begins with the key's columns, in any order.
UNINDEXED = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint
    WHERE contype = 'f' AND conparentid = 0 AND NOT EXISTS (
        SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        JOIN pg_am ON pg_am.oid = relam
        WHERE indrelid = conrelid AND indisvalid AND amname IN ('btree', 'hash')
        AND (indpred IS NULL OR pg_get_expr(indpred, indrelid) ~ '^\\(\\S+ IS NOT NULL\\)$')
        AND (string_to_array(indkey::text, ' ')::int2[])[1:cardinality(conkey)] @> conkey
    )
    ORDER BY 1, 2
"""


@pytest.fixture
def migrated(fresh_url: str) -> Config:
    return alembic_config(Settings(database_url=fresh_url))


def test_there_is_at_most_one_head() -> None:
    assert len(heads()) <= 1, "two branches: join them by `alembic merge heads -m merge`"


def test_models_and_revisions_agree(migrated: Config, fresh_url: str) -> None:
    command.check(migrated)  # raises, and names what differs
    assert run_on(fresh_url, differences) == []


def differences(connection: Connection) -> list[str]:
    """What PostgreSQL says of the migrated tables, and otherwise of tables made from the models."""
    migrated = describe(connection)
    for table in tables(connection):
        connection.execute(text(f"DROP TABLE {table} CASCADE"))
    for enum in catalogue.describe_enums(connection):
        connection.execute(text(f"DROP TYPE {enum} CASCADE"))
    Base.metadata.create_all(connection)
    made = describe(connection)
    return [
        f"{' '.join(key)}: migrated {migrated.get(key)!r}, in the models {made.get(key)!r}"
        for key in sorted(migrated.keys() | made.keys())
        if migrated.get(key) != made.get(key) and (key in made or key[0] != "enum")
    ]


def describe(connection: Connection) -> dict[tuple[str, ...], str]:
    enums = catalogue.describe_enums(connection).items()
    descriptions: dict[tuple[str, ...], str] = {("enum", enum): values for enum, values in enums}
    for table in tables(connection):
        for key, value in catalogue.describe_table(connection, table).items():
            descriptions[(table, *key)] = value
    return descriptions


def tables(connection: Connection) -> list[str]:
    """The tables of the models, named as in SQL."""
    format_table = connection.dialect.identifier_preparer.format_table
    return [format_table(table) for table in Base.metadata.tables.values()]


def test_every_revision_can_be_undone_and_done_again(migrated: Config) -> None:
    script = ScriptDirectory.from_config(migrated)

    def stairs(*_: object) -> Iterator[MigrationStep]:
        # One plan for all of them: a command each takes as long as there are revisions to load.
        for revision in script.walk_revisions():
            if revision.is_merge_point:
                yield MigrationStep.downgrade_from_script(script.revision_map, revision)
                continue
            yield MigrationStep.downgrade_from_script(script.revision_map, revision)
            yield MigrationStep.upgrade_from_script(script.revision_map, revision)
            yield MigrationStep.downgrade_from_script(script.revision_map, revision)

    with EnvironmentContext(migrated, script, fn=stairs, destination_rev="base"):
        script.run_env()


def test_undoing_all_leaves_nothing_behind(migrated: Config, fresh_url: str) -> None:
    command.downgrade(migrated, "base")
    objects = execute(fresh_url, OBJECTS)
    assert [name for (name,) in objects if name != "alembic_version"] == []


def test_every_foreign_key_has_an_index(fresh_url: str) -> None:
    # To delete a row, PostgreSQL looks for those that refer to it: without an index in all of them.
    reasons: dict[tuple[str, Any], Any] = {
        (table.fullname, key.name): reason
        for table in Base.metadata.tables.values()
        for key in table.foreign_key_constraints
        for item in (key, *key.elements)
        if (reason := item.info.get("no_index"))
    }
    found = [tuple(row) for row in execute(fresh_url, UNINDEXED)]
    assert [key for key in found if key not in reasons] == [], (
        'set index=True, or say why not: ForeignKey(…, info={"no_index": "the reason"})'
    )


def test_squawk_accepts_the_sql_of_every_revision() -> None:
    config = alembic_config()
    config.output_buffer = StringIO()
    command.upgrade(config, "heads", sql=True)
    squawk = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "squawk", "--config", PROJECT / ".squawk.toml"],
        input=config.output_buffer.getvalue(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert squawk.returncode == 0, squawk.stdout
