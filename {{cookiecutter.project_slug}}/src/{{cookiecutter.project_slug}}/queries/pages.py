"""Keyset pages: the last page is as fast as the first, and new rows do not shift pages."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from types import GenericAlias
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter
from sqlalchemy import Column, ColumnElement, Label, Select, and_, bindparam, false, or_, tuple_
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.operators import desc_op, gt, lt, nulls_first_op, nulls_last_op

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from ..database import Database

Values = Mapping[str, Any]
# What PostgreSQL can store, by the Python type of a column; others are as pydantic reads them.
STORABLE: dict[type, Any] = {
    int: Annotated[int, Field(ge=-(2**63), lt=2**63)],
    str: Annotated[str, Field(pattern=r"^[^\x00]*$")],
    datetime: Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))],
}
EXACT = ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64")


class InvalidCursorError(ValueError):
    """The cursor did not come from a page of this list."""


class Page(NamedTuple):
    """Some rows of a list, and the cursor of the next page, if there is one."""

    items: list[dict[str, Any]]
    next: str | None


class KeysetPages:
    """The pages of a list, in an order in which no two rows are equal.

    A filter, such as {"role": User.role == bindparam("role")}, applies when its parameter has a
    value. Say nulls_first() or nulls_last() of a column that an outer join makes NULL. Create one
    KeysetPages for each list, at module level: it keeps its statements, each compiled once.
    """

    def __init__(
        self, statement: Select[*tuple[Any, ...]], *order: Any, filters: Values | None = None
    ) -> None:
        names = {c: c.name for c in statement.selected_columns if isinstance(c, Column | Label)}
        self._terms = [Term(each, f"after_{n}", names) for n, each in enumerate(order)]
        self._added = [term.column.label(term.name) for term in self._terms if term.is_added]
        self._list = statement.add_columns(*self._added).order_by(*order).limit(bindparam("limit"))
        self._filters = filters or {}
        self._statements: dict[Any, Select[*tuple[Any, ...]]] = {}
        # Without the selected columns: a cursor is good for the version that adds a column, too.
        bare = self._list.with_only_columns(false(), maintain_column_froms=True).compile()
        self._identity = f"{bare} {bare.params}"
        content: Any = GenericAlias(tuple, (str, *[term.kind for term in self._terms]))
        self._content: TypeAdapter[Any] = TypeAdapter(content, config=EXACT)

    async def fetch(
        self, database: Database, parameters: Values | None = None, *, after: str | None, limit: int
    ) -> Page:
        """Return up to `limit` rows after the cursor, or the first; raise InvalidCursorError."""
        values = {name: value for name, value in (parameters or {}).items() if value is not None}
        digest = sha256(f"{self._identity} {sorted(values.items())}".encode()).hexdigest()[:8]
        position: list[Any] = []
        if after is not None:
            found = None
            with suppress(ArithmeticError, ValueError):
                found, *position = self._content.validate_json(urlsafe_b64decode(after))
            if found != digest:
                raise InvalidCursorError("This cursor is not one of this list, order and filters.")
        key = (*values, *[value is None for value in position])
        if key not in self._statements:
            conditions = [each for name, each in self._filters.items() if name in values]
            if position:
                conditions.append(rows_after(self._terms, position))
            self._statements[key] = self._list.where(*conditions)
        values |= {f"after_{n}": value for n, value in enumerate(position) if value is not None}
        rows = await database.fetch(self._statements[key], {**values, "limit": limit + 1})
        following = None
        if len(rows) > limit:
            del rows[limit:]
            content = (digest, *[rows[-1][term.name] for term in self._terms])
            following = urlsafe_b64encode(self._content.dump_json(content)).decode()
        for label in self._added:
            for row in rows:
                del row[label.name]
        return Page(rows, following)
{% endcall %}


class Term:
    """A column of an order, its direction, and the place of its NULLs, as in ORDER BY."""

    def __init__(self, expression: Any, name: str, names: Mapping[Any, str]) -> None:
        column, modifiers = expression.expression, set[Any]()
        while isinstance(column, UnaryExpression) and column.modifier:
            column, modifiers = column.element, {*modifiers, column.modifier}
        is_placed = not modifiers.isdisjoint({nulls_first_op, nulls_last_op})
        kind = getattr(column.type, "impl_instance", column.type).python_type
        kind = STORABLE.get(kind, kind)
        self.column, self.parameter = column, bindparam(name, type_=column.type)
        self.name, self.is_added = names.get(column, name), column not in names
        self.is_after = lt if desc_op in modifiers else gt
        # PostgreSQL does not say whether an expression can be NULL.
        self.is_nullable = is_placed or getattr(column, "nullable", True)
        self.nulls_first = (nulls_first_op if is_placed else desc_op) in modifiers
        self.kind = kind | None if self.is_nullable else kind


def rows_after(terms: Sequence[Term], position: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of the rows that come after a position, in which None is NULL."""
    first = terms[0]
    if not any(term.is_nullable or term.is_after != first.is_after for term in terms):
        # An index serves this comparison of rows.
        columns, parameters = zip(*[(term.column, term.parameter) for term in terms], strict=True)
        return first.is_after(tuple_(*columns), tuple_(*parameters))
    condition: ColumnElement[bool] = false()
    for term, value in zip(reversed(terms), reversed(position), strict=True):
        condition = and_(term.column == (None if value is None else term.parameter), condition)
        if value is not None:
            condition = or_(term.is_after(term.column, term.parameter), condition)
        if term.is_nullable and term.nulls_first == (value is None):
            nulls = term.column.is_not(None) if term.nulls_first else term.column.is_(None)
            condition = or_(nulls, condition)
    # Where the first one is never NULL, the scan of an index starts at its value.
    start = ~first.is_after(first.parameter, first.column)
    return condition if first.is_nullable else and_(start, condition)
