"""Keyset pages: the last page is as fast as the first, and new rows do not shift pages."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, TypeAdapter
from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, false, or_, tuple_
from sqlalchemy import UnaryExpression as Modified
from sqlalchemy.sql.operators import desc_op, nulls_first_op, nulls_last_op

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..database import Database

# What PostgreSQL can store, by the Python type of a column.
STORABLE: dict[type, Any] = {
    int: Annotated[int, Field(ge=-(2**63), lt=2**63)],
    str: Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")],
    datetime: Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))],
}


class InvalidCursorError(ValueError):
    """The cursor did not come from a page of this list."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and the cursor of the next page, if there is one."""

    items: list[dict[str, Any]]
    next: str | None


class KeysetPages:
    """The pages of a list, in an order in which no two rows are equal.

        USER_PAGES = KeysetPages(select(User), User.created_at.desc(), User.id.desc())

    A filter, such as {"role": User.role == bindparam("role")}, applies when its parameter has a
    value. The table needs an index on the columns of the order. Create one KeysetPages for each
    list, at module level: it keeps its statements, so that fetch() compiles each once.
    """

    def __init__(
        self,
        statement: Select[*tuple[Any, ...]],
        *order_by: Any,
        filters: Mapping[str, ColumnElement[bool]] | None = None,
    ) -> None:
        self._terms = [Term(expression) for expression in order_by]
        self._list, self._filters = statement.order_by(*order_by), filters or {}
        self._names, self._extra = [], []
        for number, term in enumerate(self._terms):
            selected = statement.selected_columns.get(getattr(term.column, "key", None) or "")
            if selected is not None and selected.compare(term.column):
                self._names.append(selected.name)
            else:
                self._names.append(f"order_{number}")
                self._extra.append(term.column.label(f"order_{number}"))
        ordered = self._list.with_only_columns(
            *[term.column for term in self._terms],
            maintain_column_froms=True,
        ).compile()
        self._identity = f"{ordered} {ordered.params}"
        content: Any = tuple[(str, *[term.kind for term in self._terms])]
        self._content: TypeAdapter[Any] = TypeAdapter(content)
        self._statements: dict[Any, Select[*tuple[Any, ...]]] = {}

    async def fetch(
        self,
        database: Database,
        parameters: Mapping[str, Any] | None = None,
        *,
        after: str | None,
        limit: int,
    ) -> Page:
        """Return up to `limit` rows after the cursor, or the first ones; raise InvalidCursorError.

        `parameters` are those of the statement and of the filters. None is no value.
        """
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        digest = hashlib.sha256(f"{self._identity} {sorted(given.items())}".encode()).hexdigest()
        values, nulls = {**given, "limit": limit + 1}, None
        if after is not None:
            position = self._decode(after, digest[:8])
            nulls = tuple(value is None for value in position)
            values |= {f"after_{number}": value for number, value in enumerate(position)}
            ...
{% endcall %}
