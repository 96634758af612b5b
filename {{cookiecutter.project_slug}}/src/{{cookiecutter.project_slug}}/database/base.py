"""What every model shares: the declarative base, names of constraints, column types."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Identity, MetaData, Numeric, Uuid, event, func
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

# Types that take a datetime without a time zone, whose zone a driver would guess.
NAIVE = (DateTime, pg.TSRANGE, pg.TSMULTIRANGE, pg.TSTZRANGE, pg.TSTZMULTIRANGE)


class RefusedValueError(ValueError):
    """A column's type refuses a value. The message is shown, so it must not hold the value."""


def refuse_naive(moment: datetime | None) -> None:
    """Refuse a naive datetime, and years that are not 1 to 9999 in UTC: no driver reads those."""
    if moment is not None and moment.tzinfo is None:
        raise RefusedValueError("a naive datetime: give it a time zone, such as datetime.UTC")
    try:
        _ = moment and moment.astimezone(UTC)
    except OverflowError:
        raise RefusedValueError("a datetime is not within the years 1 to 9999 in UTC") from None


class AwareDateTime(TypeDecorator[datetime]):
    """TIMESTAMP WITH TIME ZONE of datetimes that have a time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        refuse_naive(value)
        return value


class AwareRange(TypeDecorator[pg.Range[datetime]]):
    """TSTZRANGE of datetimes that have a time zone."""

    impl = pg.TSTZRANGE
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is not None:
            refuse_naive(value.lower)
            refuse_naive(value.upper)
        return value


class Number(TypeDecorator[Decimal]):
    """NUMERIC, for example Number(12, 2), of what PostgreSQL can hold: a driver may store 0."""

    impl = Numeric
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | None:
        if isinstance(value, Decimal | int) and value:
            exact = Decimal(value)
            if exact.is_finite() and not -16_383 <= exact.adjusted() < 131_072:
                raise RefusedValueError("a number has more digits than NUMERIC can hold")
        return value


class Base(DeclarativeBase):
    """Base of all models."""

    # Explicit names are the same on every machine, so that a migration can refer to them.
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        },
    )
    type_annotation_map = {
        # int is BIGINT, so that a foreign key has the type of the key that it refers to.
        int: BigInteger,
        datetime: AwareDateTime,
        pg.Range[datetime]: AwareRange,
        Decimal: Number,
        UUID: Uuid,
        # A change of a key is noticed; a change within one of its values is not.
        dict[str, Any]: MutableDict.as_mutable(pg.JSONB()),
    }


@event.listens_for(Base, "instrument_class", propagate=True)
def prepare_model(mapper: Mapper[Any], model: type[Base]) -> None:
    """Read back what the server computed, and refuse columns that would take a naive datetime."""
    # With RETURNING, also after an update. So the session sends one UPDATE for each changed
    # object: change thousands of rows with update().
    mapper.eager_defaults = True
    for column in mapper.local_table.columns:
        if takes_naive_datetimes(column.type):
            name = f"{model.__name__}.{column.key}"
            raise TypeError(
                f"{name}: use AwareDateTime, AwareRange or ARRAY(AwareDateTime) "
                "of database.base: they refuse a datetime without a time zone",
            )


def takes_naive_datetimes(kind: TypeEngine[Any]) -> bool:
    inner = getattr(kind, "item_type", None) or getattr(kind, "data_type", None)
    if inner is not None:  # of an array, or of a domain
        return takes_naive_datetimes(inner)
    return isinstance(kind, NAIVE)


class Entity(Base):
    """A table with a BIGINT identity key, and the times of its rows' first and last change.

    The times are those at which the transaction began.
    """

    __abstract__ = True

    id: Mapped[int] = mapped_column(Identity(), primary_key=True, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.now(),
        onupdate=func.now(),
        sort_order=1,
    )
