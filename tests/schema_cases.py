"""Schemas that were once migrated wrongly, each standing for a kind."""

import textwrap
from dataclasses import dataclass

HEADER = """\
import enum
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import *
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, ExcludeConstraint, TSTZRANGE
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator
from uuid import UUID

from ..database.base import Base, Entity

"""


@dataclass(frozen=True)
class Case:
    """Schemas that follow each other; `writes` is in the last revision, `refused` what is said."""

    schemas: tuple[str, ...]
    writes: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    refused: str = ""
    before: str = ""
    undo: str = ""


def table(*lines: str, arguments: str = "", name: str = "things", more: str = "") -> str:
    """A model of one table."""
    body = "\n".join([f"__tablename__ = {name!r}", *lines])
    body += f"\n__table_args__ = ({arguments},)" if arguments else ""
    return f"{textwrap.dedent(more)}\n\nclass {name.title()}(Entity):\n" + textwrap.indent(
        body, "    "
    )


CASES: dict[str, Case] = {
    "timedelta": Case((table("a: Mapped[timedelta]"),), ("sa.Interval()",)),
    "decorated JSONB": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Mine)",
                more="class Mine(TypeDecorator[Any]):\n    impl = JSONB\n    cache_ok = True",
            ),
        ),
        ("postgresql.JSONB(astext_type=sa.Text())",),
    ),
    "decorated array": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Mine)",
                more="class Mine(TypeDecorator[Any]):\n    impl = ARRAY(String(9))\n    cache_ok = True",
            ),
        ),
        ("sa.ARRAY(sa.String(length=9))",),
    ),
    "decorated twice, in an array, by dialect": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Outer)",
                "b: Mapped[Any] = mapped_column(ARRAY(Outer))",
                "c: Mapped[Any] = mapped_column(JSON().with_variant(JSONB(), 'postgresql'))",
                "d: Mapped[Any] = mapped_column(ByDialect)",
                "e: Mapped[Any] = mapped_column(PickleType)",
                "f: Mapped[Any] = mapped_column(ARRAY(Outer, dimensions=2))",
                more="""
                class Inner(TypeDecorator[Any]):
                    impl = Numeric(9, 2)
                    cache_ok = True

                class Outer(TypeDecorator[Any]):
                    impl = Inner
                    cache_ok = True

                class ByDialect(TypeDecorator[Any]):
                    impl = CHAR(32)
                    cache_ok = True

                    def load_dialect_impl(self, dialect):
                        return dialect.type_descriptor(postgresql.UUID())
                """,
            ),
        ),
        ("sa.Numeric(precision=9, scale=2)", "UUID()", "sa.PickleType()"),
    ),
    "decorated enums": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Mine)",
                "b: Mapped[Any] = mapped_column(ARRAY(Mine))",
                "c: Mapped[Any] = mapped_column(Many)",
                more="""
                class Mine(TypeDecorator[Any]):
                    impl = Enum('x', 'y', name='mine')
                    cache_ok = True

                class Many(TypeDecorator[Any]):
                    impl = ARRAY(Enum('p', 'q+(r', name='many'))
                    cache_ok = True
                """,
            ),
        ),
    ),
    "another module's type": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Point)",
                more="""
            from .shapes import Point
            """,
            ),
        ),
        ("import {package}.models.shapes",),
    ),
    "CHECK of a long name": Case(
        (table("a: Mapped[int]", arguments=f"CheckConstraint('a > 0', name='{'long_' * 14}')"),),
    ),
    "constraints of long names": Case(
        (
            table(
                f"{'column_' * 8}: Mapped[int] = mapped_column(unique=True, index=True)",
                f"other_{'column_' * 7}: Mapped[int] = mapped_column("
                "ForeignKey('things.id'), index=True)",
            ),
        ),
    ),
    "a name that is too long": Case(
        (table("a: Mapped[int]", name="t" * 64),), refused="more than 63 bytes"
    ),
    "Boolean with a CHECK": Case(
        (table("a: Mapped[bool] = mapped_column(Boolean(create_constraint=True, name='flag'))"),),
        never=("IN (0, 1)",),
    ),
    "enum as text with a CHECK": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', native_enum=False, "
                "create_constraint=True, name='kind'))"
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', 'zz', native_enum=False, "
                "create_constraint=True, name='kind'))"
            ),
        ),
    ),
    "defaults": Case(
        (
            table(
                'a: Mapped[str] = mapped_column(server_default="it\'s")',
                "b: Mapped[str] = mapped_column(server_default=\"'quoted'\")",
                "c: Mapped[Any] = mapped_column(JSON, server_default='{\"a\": 1}')",
                "d: Mapped[Any] = mapped_column(JSONB, server_default=text(\"'[]'::jsonb\"))",
                "e: Mapped[str] = mapped_column(server_default='100% :x \\\\\\\\ \\n')",
                "f: Mapped[str] = mapped_column(server_default='')",
                "g: Mapped[UUID] = mapped_column(server_default=text('gen_random_uuid ()'))",
                "h: Mapped[str] = mapped_column(server_default=text('md5(random()::text)'))",
                "i: Mapped[int] = mapped_column(server_default='7')",
                "j: Mapped[Decimal] = mapped_column(Numeric(9, 2), server_default='1.50')",
                "k: Mapped[Any] = mapped_column(ARRAY(Text), server_default='{}')",
                "l: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())",
                "m: Mapped[timedelta] = mapped_column(server_default='1 day')",
                "n: Mapped[Any] = mapped_column(postgresql.POINT if hasattr(postgresql, 'POINT') else Text, server_default='(1,1)')",
                "o: Mapped[bool] = mapped_column(server_default=false())",
            ),
            table('a: Mapped[str] = mapped_column(server_default="it\'s not")'),
        ),
    ),
    "identity options": Case(
        (
            table("n: Mapped[int] = mapped_column(Identity(start=5))"),
            table("n: Mapped[int] = mapped_column(Identity(always=True, increment=3, cache=2))"),
        ),
        ("ALTER COLUMN n SET GENERATED ALWAYS",),
    ),
    "identity of what was none": Case(
        (
            table("n: Mapped[int]"),
            table("n: Mapped[int] = mapped_column(Identity())"),
        ),
        refused="ADD GENERATED BY DEFAULT AS IDENTITY",
    ),
    "computed": Case(
        (
            table(
                "a: Mapped[str]",
                "b: Mapped[Any] = mapped_column(postgresql.TSVECTOR, "
                "Computed(\"to_tsvector('english', a)\", persisted=True))",
                "c: Mapped[bool] = mapped_column(Computed(\"a IN ('x', 'y')\", persisted=True))",
            ),
        ),
    ),
    "computed otherwise": Case(
        (
            table(
                "a: Mapped[int]",
                "b: Mapped[int] = mapped_column(Computed('a + 1', persisted=True))",
            ),
            table(
                "a: Mapped[int]",
                "b: Mapped[int] = mapped_column(Computed('a + 2', persisted=True))",
            ),
        ),
        refused="op.drop_column",
    ),
    "enum renamed": Case(
        (
            table("a: Mapped[Any] = mapped_column(Enum('x', 'y', name='old'), server_default='x')"),
            table("a: Mapped[Any] = mapped_column(Enum('x', 'y', name='new'), server_default='x')"),
        ),
        ("server_default=None", "postgresql_using"),
    ),
    "text to enum": Case(
        (
            table('order: Mapped[str] = mapped_column("order", server_default="x")'),
            table(
                "order: Mapped[Any] = mapped_column('order', Enum('x', 'y', name='new'), server_default='x')"
            ),
        ),
    ),
    "enum to text": Case(
        (
            table("a: Mapped[Any] = mapped_column(Enum('x', 'y', name='old'), server_default='x')"),
            table("a: Mapped[str] = mapped_column(String(20), server_default='x')"),
        ),
    ),
    "enum array renamed": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', name='old')), server_default='{x}')"
            ),
            table(
                "a: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', name='new')), server_default='{x}')"
            ),
        ),
    ),
    "types changed with defaults": Case(
        (
            table(
                "a: Mapped[str] = mapped_column(String(20), server_default='1')",
                "b: Mapped[str] = mapped_column(server_default='{}')",
                "c: Mapped[int] = mapped_column(Integer, server_default='1')",
                "d: Mapped[bool] = mapped_column(server_default='true')",
                "e: Mapped[str]",
                arguments="CheckConstraint(\"a IN ('1', '2')\", name='a')",
            ),
            table(
                "a: Mapped[str] = mapped_column(Text, server_default='1')",
                "b: Mapped[Any] = mapped_column(JSONB, server_default='{}')",
                "c: Mapped[int] = mapped_column(BigInteger, server_default='1')",
                "d: Mapped[int] = mapped_column(Integer, server_default='1')",
                "e: Mapped[int]",
                arguments="CheckConstraint(\"a IN ('1', '2')\", name='a')",
            ),
        ),
    ),
    "enum value added": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('b', 'd', name='kind'), server_default='b')"
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('a', 'b', \"it's:c\", 'd', 'e', name='kind'), server_default='b')"
            ),
        ),
        ("AFTER 'b'", "AFTER 'd'", "BEFORE 'b'"),
    ),
    "enum value removed": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('a', 'b', name='kind'), server_default='a')"
            ),
            table("a: Mapped[Any] = mapped_column(Enum('a', name='kind'), server_default='a')"),
        ),
        ("op.sync_enum_values",),
    ),
    "tables that refer to each other": Case(
        (
            "class Base2: pass\n"
            + table(
                "b_id: Mapped[int | None] = mapped_column(ForeignKey('bs.id'), index=True)",
                name="as",
            )
            + table(
                "a_id: Mapped[int | None] = mapped_column(ForeignKey('as.id'), index=True)",
                name="bs",
            ),
            "",
        ),
        ("op.drop_table('bs')",),
    ),
    "tables that refer to each other, use_alter": Case(
        (
            table(
                "b_id: Mapped[int | None] = mapped_column(ForeignKey('bs.id', use_alter=True), index=True)",
                name="as",
            )
            + table(
                "a_id: Mapped[int | None] = mapped_column(ForeignKey('as.id'), index=True)",
                name="bs",
            )
            + table(
                "b_id: Mapped[int | None] = mapped_column(ForeignKey('bs.id'), index=True)",
                name="cs",
            ),
        ),
        ("op.create_foreign_key(",),
    ),
    "tables dropped": Case(
        (
            table("x: Mapped[int]", name="a1")
            + table("a_id: Mapped[int] = mapped_column(ForeignKey('a1.id'), index=True)", name="b1")
            + table(
                "b_id: Mapped[int] = mapped_column(ForeignKey('b1.id'), index=True)", name="c1"
            ),
            "",
        ),
    ),
    "exclusion": Case(
        (
            table(
                "room: Mapped[str]",
                "during: Mapped[Any] = mapped_column(TSTZRANGE)",
                arguments="ExcludeConstraint(('room', '='), ('during', '&&'), name='ex', "
                "where=text(\"room <> 'x'\"), ops={'room': 'gist_text_ops'}, deferrable=True)",
            ),
            table("room: Mapped[str]", "during: Mapped[Any] = mapped_column(TSTZRANGE)"),
            table(
                "room: Mapped[str]",
                "during: Mapped[Any] = mapped_column(TSTZRANGE)",
                arguments="ExcludeConstraint((literal_column('lower(room)'), '='), ('during', '&&'), name='ex')",
            ),
        ),
        ("EXCLUDE USING gist",),
        before="CREATE EXTENSION btree_gist",
        undo="DROP EXTENSION btree_gist",
    ),
    "percent signs": Case(
        (
            table(
                "a: Mapped[str]",
                arguments="CheckConstraint(\"a LIKE 'x%'\", name='a'), "
                "Index('ix_a', 'a', postgresql_where=text(\"a LIKE '%y'\")), "
                "Index('ix_b', text(\"(a || '%')\"))",
            ),
        ),
        ("a LIKE 'x%'", "LIKE '%y'"),
        never=("%%",),
    ),
    "definitions changed": Case(
        (
            table(
                "a: Mapped[str]",
                "b: Mapped[str]",
                "c: Mapped[int]",
                arguments="CheckConstraint('c > 0', name='c'), UniqueConstraint('c', name='uc'), "
                "Index('i1', 'a', postgresql_where=text('c > 0')), Index('i2', 'a'), Index('i3', 'a'), "
                "Index('i4', 'a'), Index('i5', 'c')",
            ),
            table(
                "a: Mapped[str]",
                "b: Mapped[str]",
                "c: Mapped[int]",
                arguments="CheckConstraint('c > 1', name='c'), "
                "UniqueConstraint('c', name='uc', deferrable=True, initially='DEFERRED'), "
                "Index('i1', 'a', postgresql_where=text('c > 1')), "
                "Index('i2', 'a', postgresql_include=['b']), "
                "Index('i3', 'a', postgresql_ops={'a': 'text_pattern_ops'}), "
                "Index('i4', 'a', postgresql_using='hash'), Index('i5', desc('c'))",
            ),
        ),
    ),
    "foreign key deferrable": Case(
        (
            table("a: Mapped[int | None] = mapped_column(ForeignKey('things.id'), index=True)"),
            table(
                "a: Mapped[int | None] = mapped_column(ForeignKey('things.id', deferrable=True, initially='DEFERRED'), index=True)"
            ),
        ),
    ),
    "a schema of its own": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind', schema='billing'), server_default='x')",
                arguments="Index(None, 'a'), {'schema': 'billing'}",
            )[:-2]
            + ")",
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind', schema='billing'), server_default='y')",
                arguments="Index(None, 'a', unique=True), {'schema': 'billing'}",
            )[:-2]
            + ")",
        ),
    ),
    "odd names": Case(
        (
            table(
                "a: Mapped[int] = mapped_column('select', Identity(), unique=True)",
                "b: Mapped[str] = mapped_column('camelCase', server_default='x')",
                "c: Mapped[Any] = mapped_column('with space', Enum('x', 'y', name='kind'), server_default='x')",
                "d: Mapped[int | None] = mapped_column('user', ForeignKey('Order.id'), index=True)",
                arguments="CheckConstraint('\"camelCase\" > \\'\\'', name='Camel'), {'comment': \"it's 100%\"}",
                name="Order",
            ).replace("},)", "})"),
            table(
                "a: Mapped[int] = mapped_column('select', Identity(cycle=True), unique=True)",
                "b: Mapped[str] = mapped_column('camelCase', Text, server_default='y')",
                "c: Mapped[Any] = mapped_column('with space', Enum('x', 'y', 'z', name='kind'), server_default='y')",
                "d: Mapped[int | None] = mapped_column('user', ForeignKey('Order.id', ondelete='CASCADE'), index=True)",
                arguments="CheckConstraint('\"camelCase\" > \\'a\\'', name='Camel'), {'comment': \"it's 50%\"}",
                name="Order",
            ).replace("},)", "})"),
        ),
    ),
    "new enums in an old table": Case(
        (
            table("a: Mapped[int]"),
            table(
                "a: Mapped[int] = mapped_column(server_default='5')",
                "b: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default='x')",
                "c: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', name='kind')), server_default='{x}')",
                arguments="Index(None, 'b', postgresql_where=text(\"b = 'x'\"))",
            ),
            table("a: Mapped[int]"),
        ),
        ("op.drop_column('things', 'b')",),
    ),
    "schemas joined": Case(
        (
            table("a: Mapped[int]", arguments="{'schema': 'one'}", name="as")
            .replace("},)", "}")
            .replace("({", "{")
            + table(
                "a_id: Mapped[int] = mapped_column(ForeignKey('one.as.id'), index=True)",
                "b_id: Mapped[int | None] = mapped_column(ForeignKey('two.bs.id'), index=True)",
                arguments="UniqueConstraint('a_id', 'b_id'), {'schema': 'two'}",
                name="bs",
            ).replace("},)", "})"),
        ),
    ),
    "other types": Case(
        (
            table(
                "b: Mapped[Any] = mapped_column(postgresql.INT4MULTIRANGE)",
                "c: Mapped[Any] = mapped_column(postgresql.TIMESTAMP(timezone=True, precision=3), server_default=text('CURRENT_TIMESTAMP(3)'))",
                "d: Mapped[Any] = mapped_column(postgresql.INTERVAL(fields='DAY TO SECOND', precision=2))",
                "e: Mapped[Any] = mapped_column(String(5, collation='C'))",
                "f: Mapped[Any] = mapped_column(postgresql.BIT(3, varying=True), server_default=text(\"B'101'\"))",
                "g: Mapped[bytes] = mapped_column(server_default=text(\"'\\\\x00'::bytea\"))",
            ),
            table(
                "e: Mapped[Any] = mapped_column(String(5))",
            ),
        ),
    ),
    "what others own": Case(
        (table("a: Mapped[int]"),),
        before="DO 'BEGIN CREATE EXTENSION pg_trgm; CREATE EXTENSION vector; CREATE EXTENSION pg_stat_statements; CREATE SCHEMA other; CREATE TABLE other.thing (id int); END'",
        undo="DO 'BEGIN DROP SCHEMA other CASCADE; DROP EXTENSION pg_trgm, vector, "
        "pg_stat_statements; END'",
        never=("drop_", "other"),
    ),
    "partitions": Case(
        (
            """
class Measurement(Base):
    __tablename__ = "measurements"
    __table_args__ = {"postgresql_partition_by": "RANGE (at)"}
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[Any] = mapped_column(Enum('x', 'y', name='measured'), index=True)
""",
            """
class Measurement(Base):
    __tablename__ = "measurements"
    __table_args__ = {"postgresql_partition_by": "RANGE (at)"}
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[Any] = mapped_column(Enum('x', 'y', name='measured'), index=True)
    more: Mapped[int | None]
""",
        ),
        never=("drop_table('m1')",),
    ),
}
AFTER_FIRST = {
    "partitions": "CREATE TABLE m1 PARTITION OF measurements FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
}
