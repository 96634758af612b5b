"""What tables use by its name: enums, domains, sequences and schemas."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import CommandError, PriorityDispatchResult
from alembic_postgresql_enum.operations.add_enum_values import AddEnumValuesOp
from alembic_postgresql_enum.operations.sync_enum_values import SyncEnumValuesOp
from sqlalchemy import Column, Connection, Enum, MetaData, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateSequence

from ..catalogue import Domain, TableDescription, describe_domain, domains_of_columns
from .tables import DIALECT, LONGEST_NAME, named_type_of, quoted

DOMAIN = """\
The domain {name} changes its type, which PostgreSQL cannot alter in place.
Write a revision that creates another domain and gives it to the columns:
  op.execute("CREATE DOMAIN … AS …")
  op.execute("ALTER TABLE … ALTER COLUMN … TYPE …")"""


class SQL(ops.MigrateOperation):
    """Statements of SQL, and those that undo them; `is_last` if they wait for all others."""

    def __init__(
        self,
        statements: Sequence[str],
        undo: Sequence[str],
        schema: str | None = None,
        is_last: bool = False,
        undo_is_last: bool = False,
        diff: tuple[Any, ...] = (),
    ) -> None:
        self.statements = statements
        self.undo = undo
        self.schema = schema
        self.is_last = is_last
        self.undo_is_last = undo_is_last
        self.diff = diff or ("execute", *statements)

    def reverse(self) -> "SQL":
        return SQL(self.undo, self.statements, self.schema, self.undo_is_last, self.is_last)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return self.diff


class CommittedSQL(SQL):
    """Statements that are committed before the revision goes on."""


@renderers.dispatch_for(SQL)
def render_sql(autogen_context: AutogenContext, change: SQL) -> list[str]:
    return [execution_of(statement) for statement in change.statements]


@renderers.dispatch_for(CommittedSQL)
def render_committed_sql(autogen_context: AutogenContext, change: CommittedSQL) -> list[str]:
    lines = [f"    {execution_of(statement)}" for statement in change.statements]
    return ["\n".join(["with op.get_context().autocommit_block():", *lines])]


def execution_of(statement: str) -> str:
    """Write the call that executes the statement, in which a colon is no parameter's."""
    escaped = as_text(statement)
    if str(text(escaped).compile(dialect=DIALECT)) == statement:
        return f"op.execute({literal_of(escaped)})"
    return f"op.execute(sa.DDL({literal_of(statement.replace('%', '%%'))}))"


def literal_of(statement: str) -> str:
    """Return Python's literal of a statement, in pieces that fit on a line."""
    pieces = textwrap.wrap(
        statement,
        80,
        expand_tabs=False,
        replace_whitespace=False,
        drop_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return " ".join(map(repr, pieces))


def as_text(statement: str) -> str:
    """Escape what text() would take for a parameter, or for an escaped colon."""
    statement = re.sub(r"\\(:[\w$]*)(?![:\w$])", r"\\\\\1", statement)
    return re.sub(r"(?<![:\w\\]):(\w+)(?!:)", r"\\:\1", statement)


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Undo what the block does."""
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def named_types(types: Iterable[object]) -> dict[str, Enum | postgresql.DOMAIN]:
    """Find the enums and domains among the types, by their names as SQL."""
    found = map(named_type_of, types)
    return {quoted(str(type_.name), type_.schema): type_ for type_ in found if type_}


def types_of(tables: Iterable[Table]) -> Iterator[object]:
    return (column.type for table in tables for column in table.columns)


def schemas_of(metadata: MetaData) -> set[str | None]:
    """Find the schemas that the models name."""
    tables, sequences = metadata.tables.values(), metadata._sequences.values()
    named = [*tables, *named_types(types_of(tables)).values(), *sequences]
    return {item.schema for item in named}


def create_named(connection: Connection, table: Table) -> None:
    """Create the types and sequences that the table needs, as the models have them."""
    for schema in missing_schemas(connection, schemas_of(table.metadata)):
        connection.execute(text(as_text(f"CREATE SCHEMA {quoted(schema)}")))
    for sequence in table.metadata._sequences.values():
        sequence.create(connection, checkfirst=True)
    for name, type_ in named_types(types_of([table])).items():
        create_type(connection, name, type_)


def missing_schemas(connection: Connection, schemas: Iterable[str | None]) -> list[str]:
    existing = set(connection.scalars(text("SELECT nspname FROM pg_namespace")))
    return sorted(schema for schema in schemas if schema and schema not in existing)


def create_type(connection: Connection, name: str, type_: Enum | postgresql.DOMAIN) -> None:
    """Create the type as the models have it; one of its name that differs gets another name."""
    values, domain = values_of(connection, name), describe_domain(connection, name)
    if isinstance(type_, Enum) and values == list(type_.enums):
        return
    away = quoted(_suffixed(str(type_.name), "_was"))
    renames = [f"ALTER TYPE {name} RENAME TO {away}"] if values else []
    if domain:  # its constraints too, whose names PostgreSQL would give to the new ones
        checks = {quoted(key): quoted(_suffixed(key, "_was")) for key in domain.checks}
        alter = f"ALTER DOMAIN {name} RENAME"
        renames = [f"{alter} CONSTRAINT {key} TO {other}" for key, other in checks.items()]
        renames.append(f"{alter} TO {away}")
    for rename in renames:
        connection.execute(text(as_text(rename)))
    type_.create(connection, checkfirst=False)


def exists(connection: Connection, name: str) -> bool:
    statement = text("SELECT to_regtype(CAST(:name AS text)) IS NOT NULL")
    return bool(connection.scalar(statement, {"name": name}))


def _suffixed(name: str, suffix: str) -> str:
    return name[: LONGEST_NAME - len(suffix)] + suffix


def values_of(connection: Connection, enum: str) -> list[str]:
    statement = """
        SELECT enumlabel FROM pg_enum
        WHERE enumtypid = to_regtype(CAST(:enum AS text)) ORDER BY enumsortorder
    """
    return list(connection.scalars(text(statement), {"enum": enum}))


# Domains and sequences, which Alembic does not compare.


def compare_domains(
    autogen_context: AutogenContext,
    upgrade: ops.UpgradeOps,
    schemas: set[str | None],
) -> PriorityDispatchResult:
    """Create, alter and drop domains."""
    connection, metadata = autogen_context.connection, autogen_context.metadata
    assert connection is not None
    assert isinstance(metadata, MetaData)
    wanted = named_types(types_of(metadata.tables.values()))
    for name, type_ in sorted(wanted.items()):
        if not isinstance(type_, postgresql.DOMAIN):
            continue
        existing = describe_domain(connection, name)
        with undone(connection):
            create_named(connection, Table("_", MetaData(), Column("_", type_)))
            domain = describe_domain(connection, name)
        assert domain is not None
        if existing is None:
            create, drop = [_created(name, domain)], [f"DROP DOMAIN {name}"]
            upgrade.ops.append(SQL(create, drop, type_.schema, undo_is_last=True))
        elif existing != domain:
            changes = _altered(name, existing, domain)
            upgrade.ops.append(SQL(changes, _altered(name, domain, existing)))
    known = {quoted(table.name, table.schema) for table in metadata.tables.values()}
    for name, tables in domains_of_columns(connection).items():
        if name not in wanted and set(tables) <= known | given_up_tables(upgrade.ops):
            domain = describe_domain(connection, name)
            assert domain is not None
            create, drop = [_created(name, domain)], [f"DROP DOMAIN {name}"]
            upgrade.ops.append(SQL(drop, create, is_last=True))
    return PriorityDispatchResult.CONTINUE


def given_up_tables(changes: Iterable[ops.MigrateOperation]) -> set[str]:
    """Find the tables that are dropped, by their names as SQL."""
    drops = (change for change in changes if isinstance(change, ops.DropTableOp))
    return {quoted(drop.table_name, drop.schema) for drop in drops}


def _created(name: str, domain: Domain) -> str:
    options = [f"COLLATE {domain.collation}"] if domain.collation else []
    options += [f"DEFAULT {domain.default}"] if domain.default else []
    options += ["NOT NULL"] if domain.not_null else []
    options += [f"CONSTRAINT {quoted(key)} {check}" for key, check in domain.checks.items()]
    return " ".join([f"CREATE DOMAIN {name} AS {domain.type}", *options])


def _altered(name: str, existing: Domain, domain: Domain) -> list[str]:
    if (existing.type, existing.collation) != (domain.type, domain.collation):
        raise CommandError(DOMAIN.format(name=name))
    changes = []
    if existing.default != domain.default:
        default = f"SET DEFAULT {domain.default}" if domain.default else "DROP DEFAULT"
        changes.append(default)
    if existing.not_null != domain.not_null:
        changes.append(f"{'SET' if domain.not_null else 'DROP'} NOT NULL")
    old, new = existing.checks.items(), domain.checks.items()
    changes += [f"DROP CONSTRAINT {quoted(key)}" for key, _ in sorted(old - new)]
    changes += [f"ADD CONSTRAINT {quoted(key)} {check}" for key, check in sorted(new - old)]
    return [f"ALTER DOMAIN {name} {change}" for change in changes]


def compare_sequences(
    autogen_context: AutogenContext,
    upgrade: ops.UpgradeOps,
    schemas: set[str | None],
) -> PriorityDispatchResult:
    """Create the sequences that the database lacks; what one that exists counts is not changed."""
    connection, metadata = autogen_context.connection, autogen_context.metadata
    assert connection is not None
    assert isinstance(metadata, MetaData)
    for sequence in metadata._sequences.values():
        if not connection.dialect.has_sequence(connection, sequence.name, sequence.schema):
            create = str(CreateSequence(sequence).compile(dialect=DIALECT))
            drop = f"DROP SEQUENCE {quoted(sequence.name, sequence.schema)}"
            upgrade.ops.append(SQL([create], [drop], sequence.schema, undo_is_last=True))
    return PriorityDispatchResult.CONTINUE


# Values of enums.


def added_values(change: AddEnumValuesOp, is_alone: bool) -> SQL:
    """Add values; other changes of the revision may name them only when they are committed."""
    enum = quoted(change.name, change.schema)
    labels = [_literal(value) for value in change.new_values]
    statements = []
    for number, (value, label) in enumerate(zip(change.new_values, labels, strict=True)):
        if value not in change.old_values:
            place = f" AFTER {labels[number - 1]}" if number else ""
            if not number and change.old_values:
                place = f" BEFORE {_literal(change.old_values[0])}"
            condition = "" if is_alone else "IF NOT EXISTS "
            statements.append(f"ALTER TYPE {enum} ADD VALUE {condition}{label}{place}")
    return (SQL if is_alone else CommittedSQL)(statements, [])


@dataclass
class ReplacedEnum:
    """What replaces an enum by one of other values: statements, and what stands in their way."""

    statements: list[str]
    drops: dict[tuple[str, str], str]
    creations: list[str]


def replaced_enum(
    connection: Connection,
    change: SyncEnumValuesOp,
    tables: dict[str, tuple[TableDescription, TableDescription]],
) -> ReplacedEnum:
    """Give the columns a new enum, without the constraints, indexes and defaults that name the old.

    `tables` are descriptions before and after the revision, by the name of the table as SQL.
    """
    enum = quoted(change.name, change.schema)
    old = _suffixed(change.name, "_old")
    values = ", ".join(map(_literal, change.new_values))
    shown = connection.scalar(text("SELECT to_regtype(CAST(:enum AS text))::text"), {"enum": enum})
    named = re.compile(rf"::{re.escape(str(shown))}(?![\w.\"])")
    rename = f"ALTER TYPE {enum} RENAME TO {quoted(old)}"
    replaced = ReplacedEnum([rename, f"CREATE TYPE {enum} AS ENUM ({values})"], {}, [])
    for table, (before, after) in sorted(tables.items()):
        for (kind, name, aspect), definition in before.items():
            if kind in ("constraint", "index") and named.search(definition):
                replaced.drops[table, name] = drop_of(kind, name, table)
                if after.get((kind, name, aspect)) == definition:
                    replaced.creations.append(creation_of(kind, name, table, definition))
        actions = [
            action
            for (kind, name, aspect), type_ in before.items()
            if (kind, aspect) == ("column", "type")
            and type_.removesuffix("[]") == shown
            and (kind, name, aspect) in after
            for action in _retyped(name, enum + type_[len(str(shown)) :], before, after)
        ]
        if actions:
            replaced.statements.append(f"ALTER TABLE {table} {', '.join(actions)}")
    replaced.statements.append(f"DROP TYPE {quoted(old, change.schema)}")
    return replaced


def _retyped(
    name: str,
    type_: str,
    before: TableDescription,
    after: TableDescription,
) -> Iterator[str]:
    alter = f"ALTER COLUMN {quoted(name)}"
    array = "[]" if type_.endswith("[]") else ""
    default = after.get(("column", name, "default"))
    if ("column", name, "default") in before:
        yield f"{alter} DROP DEFAULT"
    yield f"{alter} TYPE {type_} USING {quoted(name)}::text{array}::{type_}"
    if default and after["column", name, "type"] == before["column", name, "type"]:
        yield f"{alter} SET DEFAULT {default}"


def _literal(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def drop_of(kind: str, name: str, table: str) -> str:
    """Return the SQL that drops an index or a constraint of a table."""
    if kind == "index":
        schema, _, _ = table.rpartition(".")
        return f"DROP INDEX {schema}.{quoted(name)}" if schema else f"DROP INDEX {quoted(name)}"
    return f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}"


def creation_of(kind: str, name: str, table: str, definition: str) -> str:
    """Return the SQL that creates an index or a constraint from what the catalogue says of it."""
    if kind == "index":
        definition = definition.removesuffix(" INVALID")
        return definition.replace(" INDEX USING ", f" INDEX {quoted(name)} ON {table} USING ", 1)
    return f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} {definition}"
