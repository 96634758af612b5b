"""The models' tables as PostgreSQL knows them."""

from collections.abc import Callable
from copy import copy
from typing import Any

from alembic.util import CommandError
from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Constraint,
    Dialect,
    Enum,
    Index,
    MetaData,
    String,
    Table,
    TypeDecorator,
    text,
    types,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import IdentifierError
from sqlalchemy.schema import CreateTable, sort_tables_and_constraints
from sqlalchemy.sql.elements import conv
from sqlalchemy.types import TypeEngine

LONGEST_NAME = 63
# Unlike a driver's dialect, it writes a percent sign once.
DIALECT: Dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]  # no types


def database_metadata(metadata: MetaData) -> MetaData:
    """Copy the models' tables as PostgreSQL knows them.

    A TypeDecorator becomes the type that it decorates, so that a revision outlives the class. A
    CHECK of a type becomes a CHECK of its table. Names of constraints are cut as in the database.
    """
    described = MetaData(schema=metadata.schema, naming_convention=metadata.naming_convention)
    for original in metadata.tables.values():
        table = original.to_metadata(described)
        table._prefixes = original._prefixes  # UNLOGGED, which to_metadata() leaves out
        for check in [item for item in table.constraints if isinstance(item, CheckConstraint)]:
            if getattr(check, "_type_bound", False):
                _detach_check(table, check)
        for column in table.columns:
            column.type = database_type(original.columns[column.key].type)
        for item in named_items(table):
            try:
                name = DIALECT.identifier_preparer.format_constraint(item, _alembic_quote=False)
            except IdentifierError as error:
                raise CommandError(f"Give it a shorter name: {error}") from error
            if name is not None:
                item.name = conv(name)
        _refuse_long_names(table)
    described._sequences.update(metadata._sequences)
    ordered = sort_tables_and_constraints(described.tables.values())  # type: ignore[no-untyped-call]  # no types
    *_, (_, circular) = ordered
    for constraint in circular:
        constraint.use_alter = True
        for element in constraint.elements:
            element.use_alter = True
    return described


def named_items(table: Table) -> list[Constraint | Index]:
    """Return what of a table has a name of its own in the database."""
    return [*table.constraints, *table.indexes]


def database_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that PostgreSQL sees."""
    type_ = type_._variant_mapping.get("postgresql", type_)
    if isinstance(type_, TypeDecorator) and not type(type_).__module__.startswith("sqlalchemy."):
        return database_type(type_.load_dialect_impl(DIALECT))
    if isinstance(type_, ARRAY):
        array = type_.copy()
        array.item_type = database_type(type_.item_type)
        return array
    if isinstance(type_, postgresql.DOMAIN):
        domain = copy(type_)
        domain.data_type = database_type(type_.data_type)
        return domain
    if isinstance(type_, Enum) and not type_.native_enum:
        return String(type_.length)
    if isinstance(type_, Enum):
        return copy(type_)  # alembic-postgresql-enum changes the class of what it is given
    # A dialect's own class, such as PGUuid, cannot be imported; what it derives from can.
    for cls in type(type_).__mro__ if type(type_).__module__.startswith("sqlalchemy.") else ():
        if cls in (getattr(types, cls.__name__, None), getattr(postgresql, cls.__name__, None)):
            return type_ if cls is type(type_) else type_.adapt(cls)
    return type_


def _detach_check(table: Table, check: CheckConstraint) -> None:
    table.constraints.discard(check)
    is_created: Callable[..., bool] | None = getattr(check, "_create_rule", None)
    if is_created is None or is_created(DIALECT.ddl_compiler(DIALECT, CreateTable(table))):
        arguments = {"literal_binds": True, "include_table": False}
        condition = check.sqltext.compile(dialect=DIALECT, compile_kwargs=arguments)
        table.append_constraint(CheckConstraint(text(str(condition)), name=check.name))


def _refuse_long_names(table: Table) -> None:
    named = [named_type_of(column.type) for column in table.columns]
    names = [table.schema, table.name, *table.columns.keys()]
    names += [type_.name for type_ in named if type_]
    names += [str(item.name) for item in named_items(table) if item.name]
    for name in names:
        if isinstance(name, str) and len(name.encode()) > LONGEST_NAME:
            raise CommandError(
                f"PostgreSQL would cut the name {name!r} of table {table.name}: "
                f"it has more than {LONGEST_NAME} bytes. Give it a shorter one."
            )


def named_type_of(type_: object) -> Enum | postgresql.DOMAIN | None:
    """Return the native enum or the domain that a column holds, alone or in an array."""
    if isinstance(type_, ARRAY):
        type_ = type_.item_type
    if isinstance(type_, postgresql.DOMAIN):
        return type_
    return type_ if isinstance(type_, Enum) and type_.native_enum else None


def quoted(name: str, schema: str | None = None) -> str:
    """Return the name as SQL."""
    quote = DIALECT.identifier_preparer.quote
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)
