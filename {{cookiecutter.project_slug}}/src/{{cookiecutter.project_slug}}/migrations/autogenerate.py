"""What Alembic compares, and how it writes revisions."""

import importlib
import pkgutil
from typing import Any, Literal

import alembic_postgresql_enum
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import MetaData, TypeDecorator

from .. import models
from ..database import Base

alembic_postgresql_enum.set_configuration(
    alembic_postgresql_enum.Config(
        add_type_ignore=True,
        type_ignore_comment="  # type: ignore[attr-defined]  # of alembic-postgresql-enum",
    ),
)


def target_metadata() -> MetaData:
    """Return the metadata with the tables of every module in models/."""
    for module in pkgutil.walk_packages(models.__path__, f"{models.__name__}."):
        importlib.import_module(module.name)
    return Base.metadata


def render_item(kind: str, item: object, autogen_context: AutogenContext) -> str | Literal[False]:
    """Write a type of the project as the database's own, so that revisions do not depend on it."""
    if kind != "type" or not isinstance(item, TypeDecorator):
        return False
    implementation = item.impl_instance
    if type(implementation).__module__.startswith("sqlalchemy.dialects.postgresql"):
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return f"postgresql.{implementation!r}"
    return f"sa.{implementation!r}"


OPTIONS: dict[str, Any] = {
    "compare_server_default": True,
    "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    "render_item": render_item,
}
