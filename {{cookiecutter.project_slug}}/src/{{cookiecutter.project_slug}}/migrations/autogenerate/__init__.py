"""What `alembic revision --autogenerate` and `alembic check` compare, and what they write."""

from typing import Any

import alembic_postgresql_enum
from alembic import context
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority
from sqlalchemy import MetaData, text

from ..include import include_object
from .comparison import add_schemas, compare_default, compare_definitions, compare_type, prepare
from .named import compare_domains, compare_sequences, schemas_of
from .tables import database_metadata
from .writing import process_directives, render_item


def options(metadata: MetaData) -> dict[str, Any]:
    """The arguments of `context.configure()` that concern autogenerate."""
    described = database_metadata(metadata)
    schemas = schemas_of(described)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name is None or name in schemas
        return kind != "table" or (parents["schema_name"], name) not in unowned_tables()

    return {
        "target_metadata": described,
        "include_schemas": schemas > {None} or None not in schemas,
        "include_name": include_name,
        "include_object": include_object,
        "autogenerate_plugins": [
            "alembic.autogenerate.*",
            "alembic.ext.checkconstraint_byname",
            __name__,
        ],
        "compare_server_default": True,
        "render_item": render_item,
        "process_revision_directives": process_directives,
    }


def unowned_tables() -> set[tuple[str | None, str]]:
    """Find the tables that are a partition, or that an extension made: (schema, name)."""
    cache = context.get_context().opts
    if "unowned_tables" not in cache:
        statement = """
            SELECT nullif(nspname, current_schema()), relname
            FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE relispartition OR EXISTS (
                SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e'
                AND classid = 'pg_class'::regclass
            )
        """
        rows = context.get_bind().execute(text(statement))
        cache["unowned_tables"] = {(schema, name) for schema, name in rows}
    unowned: set[tuple[str | None, str]] = cache["unowned_tables"]
    return unowned


plugin = Plugin(__name__)
add = plugin.add_autogenerate_comparator
add(prepare, "autogenerate", priority=DispatchPriority.FIRST)
add(add_schemas, "schema", priority=DispatchPriority.FIRST)
add(compare_domains, "schema", priority=DispatchPriority.LAST)
add(compare_sequences, "schema", priority=DispatchPriority.LAST)
add(compare_type, "column", "types")
add(compare_default, "column", "server_default", priority=DispatchPriority.FIRST)
add(compare_definitions, "table", priority=DispatchPriority.LAST)

alembic_postgresql_enum.set_configuration(
    alembic_postgresql_enum.Config(
        add_type_ignore=True,
        type_ignore_comment="  # type: ignore[attr-defined]  # of alembic-postgresql-enum",
    ),
)
