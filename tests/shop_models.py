"""A shop: every kind of relationship, column and constraint."""

import enum
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Date,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import (
    ARRAY,
    DATERANGE,
    INET,
    TSVECTOR,
    ExcludeConstraint,
)
from sqlalchemy.orm import Mapped, WriteOnlyMapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from ..database.base import Base, Entity


class Currency(enum.StrEnum):
    EUR = "EUR"
    USD = "USD"


class Weekday(enum.Enum):
    MONDAY = "monday"
    SUNDAY = "sunday"


class Tags(TypeDecorator[set[str]]):
    """A set of words, kept as a sorted array."""

    impl = ARRAY(Text)
    cache_ok = True

    def process_bind_param(self, value: set[str] | None, dialect: Any) -> list[str] | None:
        return None if value is None else sorted(value)

    def process_result_value(self, value: Any, dialect: Any) -> set[str] | None:
        return None if value is None else set(value)


# Many to many, without columns of its own.
product_categories = Table(
    "product_categories",
    Base.metadata,
    Column("product_id", ForeignKey("products.id", ondelete="CASCADE"), primary_key=True),
    Column("category_id", ForeignKey("categories.id"), primary_key=True, index=True),
)


class Category(Entity):
    """A tree: each refers to its parent."""

    __tablename__ = "categories"
    __table_args__ = (UniqueConstraint("parent_id", "name", postgresql_nulls_not_distinct=True),)

    name: Mapped[str] = mapped_column(String(80))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("categories.id"), index=True)
    children: Mapped[list["Category"]] = relationship(lazy="raise")


class Product(Entity):
    """Base of a hierarchy of one table each (joined inheritance)."""

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint("price >= 0", name="price"),
        CheckConstraint("sku ~ '^[A-Z]{2}-\\d+$' AND sku NOT LIKE '%-0%'", name="sku"),
        Index(None, "search", postgresql_using="gin"),
        Index("ix_products_lower_name", text("lower(name)")),
        {"comment": "What is sold; 100% of it"},
    )
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "product"}

    kind: Mapped[str] = mapped_column(String(20))
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(comment='as on the label: "it\'s"')
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2), server_default="0")
    currency: Mapped[Currency] = mapped_column(
        Enum(Currency, name="currency"), server_default="EUR"
    )
    tags: Mapped[set[str]] = mapped_column(Tags, server_default="{}")
    attributes: Mapped[dict[str, Any] | None]
    search: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('english', name)", persisted=True)
    )
    categories: Mapped[list[Category]] = relationship(secondary=product_categories, lazy="raise")


class Book(Product):
    __tablename__ = "books"
    __mapper_args__ = {"polymorphic_identity": "book"}

    id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    isbn: Mapped[str] = mapped_column(String(13), unique=True)


class Ticket(Product):
    __tablename__ = "tickets"
    __mapper_args__ = {"polymorphic_identity": "ticket"}

    id: Mapped[int] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    length: Mapped[timedelta]
    days: Mapped[list[Weekday]] = mapped_column(ARRAY(Enum(Weekday, name="weekday")))


class Customer(Entity):
    """Single-table inheritance."""

    __tablename__ = "customers"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    kind: Mapped[str] = mapped_column(String(20))
    email: Mapped[str]
    vat_number: Mapped[str | None] = mapped_column(String(20))
    last_address: Mapped[str | None] = mapped_column(INET)

    __table_args__ = (
        Index("uq_customers_email", func.lower(text("email")), unique=True),
        CheckConstraint("kind <> 'company' OR vat_number IS NOT NULL", name="vat_number"),
    )


class Company(Customer):
    __mapper_args__ = {"polymorphic_identity": "company"}


class Team(Entity):
    """Refers to its lead, who refers to the team."""

    __tablename__ = "teams"

    lead_id: Mapped[int | None] = mapped_column(ForeignKey("employees.id"), index=True)


class Account(Entity):
    """A name that the project's own tests must leave to its owner, as those of the next two."""

    __tablename__ = "accounts"


class Mood(Entity):
    __tablename__ = "moods"

    mood: Mapped[str] = mapped_column(Enum("GLAD", name="mood"))


class Player(Entity):
    __tablename__ = "players"


class Employee(Entity):
    __tablename__ = "employees"

    team_id: Mapped[int] = mapped_column(ForeignKey("teams.id"), index=True)
    manager_id: Mapped[int | None] = mapped_column(
        ForeignKey("employees.id", ondelete="SET NULL"), index=True
    )
    number: Mapped[int] = mapped_column(Identity(always=True, start=1000), unique=True)


class Order(Entity):
    """A reserved word as a column, and a one-to-one."""

    __tablename__ = "orders"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    order: Mapped[int | None] = mapped_column("order")
    lines: WriteOnlyMapped["Line"] = relationship()
    invoice: Mapped["Invoice"] = relationship(lazy="raise")


class Invoice(Entity):
    __tablename__ = "invoices"

    order_id: Mapped[int] = mapped_column(
        ForeignKey("orders.id", deferrable=True, initially="DEFERRED"), unique=True
    )
    number: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())


class Line(Base):
    """A key of two columns, and an amount that the server computes."""

    __tablename__ = "lines"

    order_id: Mapped[int] = mapped_column(
        ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(
        ForeignKey("products.id", info={"no_index": "products are never deleted"})
    )
    quantity: Mapped[int] = mapped_column(server_default="1")
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    amount: Mapped[Decimal] = mapped_column(
        Numeric(14, 2), Computed("quantity * price", persisted=True)
    )


class Return(Base):
    """A foreign key of two columns."""

    __tablename__ = "returns"
    __table_args__ = (
        ForeignKeyConstraint(["order_id", "position"], ["lines.order_id", "lines.position"]),
        Index(None, "position", "order_id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    order_id: Mapped[int]
    position: Mapped[int]
    reason: Mapped[str] = mapped_column(server_default="it's broken")


class Booking(Entity):
    """No two bookings of a room overlap."""

    __tablename__ = "bookings"
    __table_args__ = (
        ExcludeConstraint(("room", "="), ("days", "&&"), name="ex_bookings_room", using="gist"),
    )

    room: Mapped[str]
    days: Mapped[Any] = mapped_column(DATERANGE)


class Rate(Base):
    """In a schema of its own."""

    __tablename__ = "rates"
    __table_args__ = {"schema": "billing"}

    currency: Mapped[Currency] = mapped_column(Enum(Currency, name="currency"), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    rate: Mapped[Decimal]


class Visit(Base):
    """Partitioned by time; the partitions are not the models'."""

    __tablename__ = "visits"
    __table_args__ = {"postgresql_partition_by": "RANGE (at)"}

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id"), index=True)


class SystemOfRecordSynchronisationWithTheWarehouseManagementBook(Base):
    """A name whose constraints have names that PostgreSQL would cut."""

    __tablename__ = "system_of_record_synchronisation_with_the_warehouse_management"
    __table_args__ = (
        CheckConstraint("attempts_to_synchronise < 10", name="attempts_to_synchronise"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    attempts_to_synchronise: Mapped[int] = mapped_column(index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True, unique=False)
