"""What a revision says: operations that run in their order, and how they are written."""

from collections.abc import Iterator, Sequence
from enum import IntEnum, auto
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.ddl.postgresql import _exclude_constraint
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from alembic_postgresql_enum.add_postgres_using_to_text import PostgresUsingAlterColumnOp
from alembic_postgresql_enum.operations.add_enum_values import AddEnumValuesOp
from alembic_postgresql_enum.operations.create_enum import CreateEnumOp
from alembic_postgresql_enum.operations.drop_enum import DropEnumOp
from alembic_postgresql_enum.operations.sync_enum_values import SyncEnumValuesOp
from sqlalchemy import ARRAY, Computed, Connection, ForeignKeyConstraint, MetaData, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

from ..catalogue import TableDescription
from .comparison import Redefinition
from .named import (
    SQL,
    added_values,
    as_text,
    create_type,
    exists,
    given_up_tables,
    missing_schemas,
    named_types,
    replaced_enum,
    undone,
)
from .tables import DIALECT, quoted


class Phase(IntEnum):
    """The order of the operations: what depends is dropped first, and created last."""

    COMMITTED = auto()
    SCHEMAS = auto()
    DROP_FOREIGN_KEYS = auto()
    DROP_TABLES = auto()
    DROP_CONSTRAINTS = auto()
    DROP_COMPUTED_COLUMNS = auto()
    DROP_COLUMNS = auto()
    TYPES = auto()
    TABLES = auto()
    COMPUTED_COLUMNS = auto()
    CONSTRAINTS = auto()
    FOREIGN_KEYS = auto()
    DROP_TYPES = auto()
    DROP_SCHEMAS = auto()


Step = tuple[Phase, ops.MigrateOperation]
Descriptions = dict[str, tuple[TableDescription, TableDescription]]


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Write what Alembic would write wrongly; False leaves the item to Alembic."""
    if kind == "type" and isinstance(item, ARRAY):
        arguments = [_repr_type(item.item_type, autogen_context)]
        arguments += [f"dimensions={item.dimensions}"] if item.dimensions else []
        return f"sa.ARRAY({', '.join(arguments)})"
    if kind == "type" and not type(item).__module__.startswith(("sqlalchemy.", "alembic")):
        autogen_context.imports.add(f"import {type(item).__module__}")
    if kind == "server_default" and isinstance(getattr(item, "arg", None), str):
        return repr(str.__str__(item.arg))  # of an enum the value
    argument = getattr(item, "arg", None)
    if kind == "server_default" and isinstance(argument, ClauseElement):
        if not isinstance(argument, TextClause):
            sql = argument.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
            return f"sa.text({as_text(str(sql))!r})"
    if kind == "type" and isinstance(item, postgresql.DOMAIN):
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        arguments = [repr(str(item.name)), _repr_type(item.data_type, autogen_context)]
        arguments += [f"schema={item.schema!r}"] if item.schema else []
        return f"postgresql.DOMAIN({', '.join(arguments)}, create_type=False)"
    if kind == "exclude":
        rendered = _exclude_constraint(item, autogen_context, alter=False)
        return f"{rendered[:-1]}, ops={item.ops!r})" if item.ops else rendered
    return False


def process_directives(
    migration: MigrationContext,
    revision: object,
    directives: list[ops.MigrationScript],
) -> None:
    """Rewrite what would not run, and leave out a revision that would be empty."""
    arguments = migration.opts["revision_context"].command_args
    if not arguments["autogenerate"]:
        return
    connection = migration.connection
    assert connection is not None
    [script] = directives
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    metadata: MetaData = migration.opts["target_metadata"]
    known = migration.opts.get("described_tables", {})
    described = {
        quoted(table.name, table.schema): both
        for table in metadata.tables.values()
        if (both := known.get(table.key))
    }
    reversed_ = {table: (wanted, found) for table, (found, wanted) in described.items()}
    creations = (ops.CreateTableOp, CreateEnumOp, SQL)
    named = [change.schema for change in script.upgrade_ops.ops if isinstance(change, creations)]
    schemas = missing_schemas(connection, set(named))
    create: list[Step] = [
        (Phase.SCHEMAS, SQL([f"CREATE SCHEMA {quoted(schema)}"], [])) for schema in schemas
    ]
    drop: list[Step] = [
        (Phase.DROP_SCHEMAS, SQL([f"DROP SCHEMA {quoted(schema)}"], [])) for schema in schemas
    ]
    for container, descriptions, steps in (
        (script.upgrade_ops, described, create),
        (script.downgrade_ops, reversed_, drop),
    ):
        steps += _steps(container.ops, connection, descriptions)
        container.ops = [change for _, change in sorted(steps, key=lambda step: step[0])]
    # `check`, which has the same arguments, needs the empty directive.
    is_revision = migration.opts["fn"].__qualname__.startswith("revision.")
    if is_revision and script.upgrade_ops.is_empty():
        directives.clear()
        context.config.print_stdout("The models and the database agree: no revision was written.")


def _steps(
    changes: Sequence[ops.MigrateOperation],
    connection: Connection,
    described: Descriptions,
) -> list[Step]:
    """Say what each change does, and when."""
    flat = [
        change
        for group in changes
        for change in (group.ops if isinstance(group, ops.ModifyTableOps) else [group])
    ]
    steps: list[Step] = []
    replaced: set[tuple[str, str]] = set()
    for change in flat:
        if isinstance(change, SyncEnumValuesOp):
            enum = replaced_enum(connection, change, described)
            steps += _executed(
                change,
                (Phase.DROP_CONSTRAINTS, [enum.drops[key] for key in enum.drops.keys() - replaced]),
                (Phase.TYPES, enum.statements),
                (Phase.CONSTRAINTS, enum.creations),
            )
            replaced |= enum.drops.keys()
    given_up = given_up_tables(changes)
    touched = given_up | {
        quoted(change.table_name, change.schema)
        for change in flat
        if isinstance(change, ops.DropColumnOp)
        or (isinstance(change, ops.AlterColumnOp) and change.modify_type is not None)
    }
    created = [change for change in flat if isinstance(change, ops.CreateTableOp)]
    missing = {_key(change) for change in created}
    doomed = {_key(change) for change in flat if isinstance(change, ops.DropTableOp)}
    for change in flat:
        match change:
            case SyncEnumValuesOp():
                pass
            case AddEnumValuesOp():
                steps.append((Phase.COMMITTED, added_values(change, is_alone=len(flat) == 1)))
            case CreateEnumOp():
                steps.append((Phase.TYPES, change))
            case DropEnumOp():
                name = quoted(change.name, change.schema)
                if not _is_others_enum(connection, name, touched):
                    steps.append((Phase.DROP_TYPES, change))
            case SQL():
                steps.append((Phase.DROP_TYPES if change.is_last else Phase.TYPES, change))
            case Redefinition():
                name = quoted(change.table.name, change.table.schema)
                if (name, change.name) not in replaced:
                    steps += _executed(change, (Phase.DROP_CONSTRAINTS, list(change.drops())))
                steps += _executed(change, (Phase.CONSTRAINTS, list(change.creations())))
            case ops.CreateTableOp():
                steps += _created_table(change, missing)
                missing.discard(_key(change))
            case ops.DropTableOp():
                for key in _foreign_keys(change.to_table()):
                    if _target(key) in doomed - {_key(change)}:
                        drop = ops.DropConstraintOp.from_constraint(key)
                        steps.append((Phase.DROP_FOREIGN_KEYS, drop))
                steps.append((Phase.DROP_TABLES, change))
            case ops.DropIndexOp() | ops.DropConstraintOp():
                table, name = quoted(str(change.table_name), change.schema), _name_of(change)
                if table not in given_up and (table, name) not in replaced:
                    steps.append((_phase_of(change), change))
            case ops.AlterColumnOp():
                steps += [(Phase.TABLES, step) for step in _column_steps(change, connection)]
            case _:
                steps.append((_phase_of(change), change))
    return steps


def _executed(
    change: Redefinition | SyncEnumValuesOp,
    *phases: tuple[Phase, list[str]],
) -> Iterator[Step]:
    for phase, statements in phases:
        if statements:
            yield phase, SQL(statements, [], diff=change.to_diff_tuple())


def _name_of(change: ops.DropIndexOp | ops.DropConstraintOp) -> str:
    return str(change.index_name if isinstance(change, ops.DropIndexOp) else change.constraint_name)


def _phase_of(change: ops.MigrateOperation) -> Phase:
    match change:
        case ops.DropConstraintOp(constraint_type="foreignkey"):
            return Phase.DROP_FOREIGN_KEYS
        case ops.DropConstraintOp() | ops.DropIndexOp():
            return Phase.DROP_CONSTRAINTS
        case ops.DropColumnOp():
            is_computed = change.to_column().computed is not None
            return Phase.DROP_COMPUTED_COLUMNS if is_computed else Phase.DROP_COLUMNS
        case ops.AddColumnOp() if change.column.computed is not None:
            return Phase.COMPUTED_COLUMNS
        case ops.CreateForeignKeyOp():
            return Phase.FOREIGN_KEYS
        case ops.AddConstraintOp() | ops.CreateIndexOp():
            return Phase.CONSTRAINTS
        case _:
            return Phase.TABLES


def _created_table(change: ops.CreateTableOp, missing: set[str]) -> Iterator[Step]:
    """Create a table, and its foreign keys to tables that are still missing after these."""
    keys = _foreign_keys(change.to_table())
    postponed = [key for key in keys if _target(key) in missing - {_key(change)}]
    for key in postponed:
        key.use_alter = False
        yield Phase.FOREIGN_KEYS, ops.CreateForeignKeyOp.from_constraint(key)
    names = {key.name for key in postponed}
    change.columns = [
        item
        for item in change.columns
        if not (isinstance(item, ForeignKeyConstraint) and item.name in names)
    ]
    for item in change.columns:
        if isinstance(item, ForeignKeyConstraint):
            item.use_alter = False
    yield Phase.TABLES, change


def _as_sql(type_: TypeEngine[Any]) -> str:
    if isinstance(type_, postgresql.DOMAIN):  # a name; compile() may add its collation
        return quoted(str(type_.name), type_.schema)
    return str(type_.compile(dialect=DIALECT))


def _key(change: ops.CreateTableOp | ops.DropTableOp) -> str:
    return f"{change.schema}.{change.table_name}" if change.schema else change.table_name


def _foreign_keys(table: Table) -> list[ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=lambda constraint: str(constraint.name))


def _target(key: ForeignKeyConstraint) -> str:
    return key.elements[0].target_fullname.rpartition(".")[0]


def _column_steps(
    change: ops.AlterColumnOp,
    connection: Connection,
) -> list[ops.MigrateOperation]:
    """Give a column another type without its default, which may not fit, and then the default."""
    found, wanted = change.existing_server_default, change.modify_server_default
    if change.modify_type is None or isinstance(found, Computed):
        return [change]
    change.kw.pop("postgresql_using", None)
    if using := _conversion(connection, change):
        change.kw["postgresql_using"] = using
        change.__class__ = PostgresUsingAlterColumnOp
    default = found if wanted is False else wanted
    steps: list[ops.MigrateOperation] = [change]
    change.modify_server_default = False
    change.existing_server_default = False
    if found is not None and found is not False:
        steps.insert(0, _alter_default(change, None))
    if default is not None and default is not False:
        steps.append(_alter_default(change, default))
    return steps


def _alter_default(change: ops.AlterColumnOp, default: Any) -> ops.AlterColumnOp:
    return ops.AlterColumnOp(
        change.table_name,
        change.column_name,
        schema=change.schema,
        modify_server_default=default,
    )


def _conversion(connection: Connection, change: ops.AlterColumnOp) -> str | None:
    """Return what USING needs, None where PostgreSQL converts the type by itself."""
    column = quoted(change.column_name)
    types = [type_ for type_ in (change.existing_type, change.modify_type) if type_ is not None]
    found, wanted = map(_as_sql, types)
    reason = ""
    for using in (None, f"{column}::{wanted}", f"{column}::text::{wanted}"):
        try:
            with undone(connection):
                for name, type_ in named_types(types).items():
                    if not exists(connection, name):
                        create_type(connection, name, type_)
                alter = f"ALTER TABLE conversion ALTER COLUMN {column} TYPE {wanted}"
                alter += f" USING {using}" if using else ""
                create = f"CREATE TEMPORARY TABLE conversion ({column} {found})"
                for statement in (create, alter):
                    connection.execute(text(as_text(statement)))
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0]
        else:
            return using
    raise CommandError(
        f"PostgreSQL cannot convert {change.table_name}.{change.column_name} from {found} to "
        f"{wanted} ({reason}). Write a revision that adds a column and fills it: docs/migrations.md"
    )


def _is_others_enum(connection: Connection, enum: str, given_up: set[str]) -> bool:
    """Say whether an extension owns the enum, or a column outside of these tables has it."""
    statement = """
        SELECT true FROM pg_type
        LEFT JOIN (pg_attribute JOIN pg_class ON pg_class.oid = attrelid AND relkind <> 'i')
            ON atttypid IN (pg_type.oid, typarray) AND NOT attisdropped
            AND NOT CAST(:tables AS text[]) @> ARRAY[attrelid::regclass::text]
        WHERE pg_type.oid = to_regtype(CAST(:enum AS text)) AND (
            attrelid IS NOT NULL
            OR EXISTS (SELECT FROM pg_depend WHERE objid = pg_type.oid AND deptype = 'e')
        )
    """
    parameters = {"enum": enum, "tables": sorted(given_up)}
    return connection.execute(text(statement), parameters).first() is not None
