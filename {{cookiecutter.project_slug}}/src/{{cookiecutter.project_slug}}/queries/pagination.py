"""Keyset pagination: the last page is as fast as the first, and new rows do not shift pages."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import GenericAlias
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Integer, Select, SQLColumnExpression, bindparam
{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from sqlalchemy.ext.asyncio import AsyncSession

from ..database import Database, Rows
from .ordering import OrderTerm, rows_after

T = TypeVar("T")


class InvalidCursorError(ValueError):
    """The cursor did not come from a page of this list."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list, and the cursor of the next page, if there is one."""

    items: list[T]
    next: str | None


class KeysetPages:
    """The pages of a list, in an order in which no two rows are equal.

        USER_PAGES = KeysetPages(
            select(User),
            User.created_at.desc(),
            User.id.desc(),
            filters={"role": User.role == bindparam("role")},
        )

    A filter applies when its parameter has a value. The table needs an index on the columns of the
    order. Create one KeysetPages for each list, at module level: it keeps the statements that it
    has built, because building one costs more than a read.
    """

    def __init__(
        self,
        statement: Select[*tuple[Any, ...]],
        order_by: SQLColumnExpression[Any],
        *then_by: SQLColumnExpression[Any],
        filters: Mapping[str, ColumnElement[bool]] | None = None,
    ) -> None:
        self._list = statement.order_by(order_by, *then_by)
        self._filters = filters or {}
        self._terms = [OrderTerm.of(expression) for expression in (order_by, *then_by)]
        self._labels = [term.column.label(f"order_{n}") for n, term in enumerate(self._terms)]
        # Where a row has the values of the order: what is not selected gets a label.
        self._names = [
            name_of(term.column, statement) or label.name
            for term, label in zip(self._terms, self._labels, strict=True)
        ]
        self._unselected = [label for label in self._labels if label.name in self._names]
        self._statements: dict[Any, Rows] = {}

    async def fetch(
        self,
        database: Database,
        parameters: Mapping[str, Any] | None = None,
        *,
        after: str | None,
        limit: int,
    ) -> Page[dict[str, Any]]:
        """Return up to `limit` rows after the cursor, or the first ones.

        `parameters` are those of the statement and of the filters. Raises InvalidCursorError.
        """
        given = without_none(parameters)
        statement, values = self._prepare(self._unselected, given, after, limit)
        rows = await database.rows(statement, **values)
        items = rows[:limit]
        following = None
        if len(rows) > limit:
            following = self._encode([items[-1][name] for name in self._names], given)
        for label in self._unselected:
            for item in items:
                del item[label.name]
        return Page(items, following)

    async def fetch_objects(
        self,
        session: AsyncSession,
        parameters: Mapping[str, Any] | None = None,
        *,
        after: str | None,
        limit: int,
    ) -> Page[Any]:
        """Return a page as fetch() does, of objects, with what the statement's options load."""
        given = without_none(parameters)
        statement, values = self._prepare(self._labels, given, after, limit)
        result = await session.execute(statement.statement, values)
        rows = result.unique().all()
        following = self._encode(rows[limit - 1][1:], given) if len(rows) > limit else None
        return Page([row[0] for row in rows[:limit]], following)

    def _prepare(
        self,
        labels: Sequence[ColumnElement[Any]],
        given: Mapping[str, Any],
        after: str | None,
        limit: int,
    ) -> tuple[Rows, dict[str, Any]]:
        """Return the statement of a page, and the values of its parameters."""
        position = None if after is None else self._decode(after, given)
        nulls = position and [value is None for value in position]
        key = (len(labels), tuple(given), nulls and tuple(nulls))
        if key not in self._statements:
            self._statements[key] = Rows(self._build(labels, given, nulls))
        values = {f"after_{n}": value for n, value in enumerate(position or [])}
        return self._statements[key], {**given, **values, "limit": limit + 1}

    def _build(
        self,
        labels: Sequence[ColumnElement[Any]],
        given: Mapping[str, Any],
        nulls: Sequence[bool] | None,
    ) -> Select[*tuple[Any, ...]]:
        conditions = [each for name, each in self._filters.items() if name in given]
        if nulls is not None:
            position = [
                None if is_null else bindparam(f"after_{n}", type_=term.column.type)
                for n, (term, is_null) in enumerate(zip(self._terms, nulls, strict=True))
            ]
            conditions.append(rows_after(self._terms, position))
        statement = self._list.add_columns(*labels).where(*conditions)
        return statement.limit(bindparam("limit", type_=Integer))

    def _encode(self, position: Sequence[Any], given: Mapping[str, Any]) -> str:
        """Return the cursor of the page that follows the row with these values."""
        content = self._content.dump_json((self._digest(given), *position))
        return urlsafe_b64encode(content).decode()

    def _decode(self, cursor: str, given: Mapping[str, Any]) -> Sequence[Any]:
        """Return the values of the order in the row that the page follows."""
        try:
            digest, *position = self._content.validate_json(urlsafe_b64decode(cursor))
            if digest != self._digest(given):
                raise ValueError("the cursor of another list")
        except (ArithmeticError, ValueError) as error:
            raise InvalidCursorError(
                "This cursor is not one of this list, in this order and with these filters.",
            ) from error
        return position

    def _digest(self, given: Mapping[str, Any]) -> str:
        """Return what tells the list with these parameters from every other list."""
        text = f"{self._text} {sorted(given.items())}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @cached_property
    def _text(self) -> str:
        # Without the selected columns: a cursor is good for the version that adds a column, too.
        compiled = self._list.with_only_columns(
            *[term.column for term in self._terms],
            maintain_column_froms=True,
        ).compile()
        return f"{compiled} {compiled.params}"

    @cached_property
    def _content(self) -> TypeAdapter[tuple[Any, ...]]:
        types = (str, *[term.type_of_values for term in self._terms])
        values: Any = GenericAlias(tuple, types)
        return TypeAdapter(values)
{% endcall %}


def name_of(column: ColumnElement[Any], statement: Select[*tuple[Any, ...]]) -> str | None:
    """Return the name by which the statement's rows have this column, if they have it."""
    name: str | None = getattr(column, "name", None)
    selected = statement.selected_columns.get(name) if name else None
    return name if selected is not None and selected.compare(column) else None


def without_none(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (parameters or {}).items() if value is not None}
