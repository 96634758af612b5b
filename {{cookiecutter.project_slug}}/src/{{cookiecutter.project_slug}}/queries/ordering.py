"""The order of a list: what follows a position in it, and what a client may send as a position."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, Field, NaiveDatetime, StringConstraints
from sqlalchemy import ColumnElement, UnaryExpression, and_, false, or_, tuple_
from sqlalchemy.sql import operators


def to_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; raises OverflowError if it is not between year 1 and 9999."""
    return moment.astimezone(UTC)


# What PostgreSQL can store, by the Python type of a column; others are as pydantic reads them.
STORABLE: dict[type, Any] = {
    int: Annotated[int, Field(ge=-(2**63), lt=2**63)],
    str: Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")],
    datetime: Annotated[AwareDatetime, AfterValidator(to_utc)],
}


@dataclass(frozen=True)
class OrderTerm:
    """A column of an order, its direction, and the place of its NULLs, as in ORDER BY."""

    column: ColumnElement[Any]
    descending: bool
    nullable: bool
    nulls_first: bool

    @classmethod
    def of(cls, expression: Any) -> "OrderTerm":
        """Return the term for an expression such as `User.age.desc().nulls_last()`."""
        column: ColumnElement[Any] = expression.expression  # of a model's attribute, or itself
        modifiers = set()
        while isinstance(column, UnaryExpression) and column.modifier is not None:
            modifiers.add(column.modifier)
            column = column.element
        descending = operators.desc_op in modifiers
        nulls = modifiers & {operators.nulls_first_op, operators.nulls_last_op}
        return cls(
            column,
            descending,
            # PostgreSQL does not say whether an expression can be NULL.
            nullable=bool(nulls) or getattr(column, "nullable", True),
            nulls_first=operators.nulls_first_op in nulls if nulls else descending,
        )

    @property
    def type_of_values(self) -> Any:
        """The type of the column's values, as pydantic checks it."""
        column_type: Any = getattr(self.column.type, "impl_instance", self.column.type)
        kind = STORABLE.get(column_type.python_type, column_type.python_type)
        if column_type.python_type is datetime and not column_type.timezone:
            kind = NaiveDatetime
        return kind | None if self.nullable else kind

    def equals(self, value: ColumnElement[Any] | None) -> ColumnElement[bool]:
        return self.column.is_(None) if value is None else self.column == value

    def follows(self, value: ColumnElement[Any] | None) -> ColumnElement[bool]:
        """Return the condition of the rows that come after a value, or after NULL."""
        if value is None:
            return self.column.is_not(None) if self.nulls_first else false()
        later = self.column < value if self.descending else self.column > value
        nulls_come_later = self.nullable and not self.nulls_first
        return or_(later, self.column.is_(None)) if nulls_come_later else later


def rows_after(
    terms: Sequence[OrderTerm],
    position: Sequence[ColumnElement[Any] | None],
) -> ColumnElement[bool]:
    """Return the condition of the rows that come after a position, in which None is NULL."""
    directions = {term.descending for term in terms}
    if len(directions) == 1 and not any(term.nullable for term in terms):
        # An index serves this comparison of rows.
        columns = tuple_(*[term.column for term in terms])
        return columns < tuple_(*position) if terms[0].descending else columns > tuple_(*position)
    equal: list[ColumnElement[bool]] = []
    alternatives = []
    for term, value in zip(terms, position, strict=True):
        alternatives.append(and_(*equal, term.follows(value)))
        equal.append(term.equals(value))
    condition = or_(*alternatives)
    first, value = terms[0], position[0]
    if first.nullable:
        return condition
    # This follows from the condition; it is where the scan of an index starts.
    return and_(first.column <= value if first.descending else first.column >= value, condition)
