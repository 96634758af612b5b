"""What every model shares: the declarative base, names of constraints, column types."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Identity, MetaData, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from .hidden_values import RefusedValueError


class AwareDateTime(TypeDecorator[datetime]):
    """TIMESTAMP WITH TIME ZONE; refuses what the drivers would change or could not read back.

    These are naive datetimes, whose zone they would guess, and years that are not 1 to 9999 in UTC.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise RefusedValueError("a naive datetime: give it a time zone, such as datetime.UTC")
        try:
            value.astimezone(UTC)
        except OverflowError:
            raise RefusedValueError("a datetime is not within the years 1 to 9999 in UTC") from None
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
        UUID: Uuid,
        dict[str, Any]: JSONB,
    }
    # What the server computed comes back with RETURNING, also after an update. So the session sends
    # one UPDATE for each changed object: change thousands of rows with update().
    __mapper_args__ = {"eager_defaults": True}


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
