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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator
from uuid import UUID

from ..database.base import AwareDateTime, AwareRange, Base, Entity

"""


L = "x" * 60  # three bytes are left for what tells names apart


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
        ("CREATE TYPE public.kind AS ENUM ('a')",),
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
                "during: Mapped[Any] = mapped_column(AwareRange)",
                arguments="ExcludeConstraint(('room', '='), ('during', '&&'), name='ex', "
                "where=text(\"room <> 'x'\"), ops={'room': 'gist_text_ops'}, deferrable=True)",
            ),
            table("room: Mapped[str]", "during: Mapped[Any] = mapped_column(AwareRange)"),
            table(
                "room: Mapped[str]",
                "during: Mapped[Any] = mapped_column(AwareRange)",
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
                "c: Mapped[Any] = mapped_column(postgresql.TIME(timezone=True, precision=3), server_default=text('CURRENT_TIME(3)'))",
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
    "domains": Case(
        (
            table(
                "a: Mapped[str] = mapped_column(postgresql.DOMAIN('email', Text, check=\"VALUE LIKE '%@%'\"))",
                "b: Mapped[int] = mapped_column(postgresql.DOMAIN('Positive', Integer, check=\"VALUE > 0\", not_null=True), server_default='1')",
            ),
            table(
                "a: Mapped[str] = mapped_column(postgresql.DOMAIN('email', Text, check=\"VALUE LIKE '%@%'\"))",
                "b: Mapped[int] = mapped_column(Integer, server_default='1')",
                "c: Mapped[Any] = mapped_column(postgresql.DOMAIN('code', String(3), collation='C', default='abc', constraint_name='code_ok', check=\"VALUE <> ''\"))",
            ),
            table("a: Mapped[str]"),
        )
    ),
    "domain otherwise": Case(
        (
            table(
                "a: Mapped[str] = mapped_column(postgresql.DOMAIN('email', Text, check=\"VALUE LIKE '%@%'\"))"
            ),
            table(
                "a: Mapped[str] = mapped_column(postgresql.DOMAIN('email', Text, check=\"VALUE LIKE '%@%.%'\"))"
            ),
        )
    ),
    "domain in a schema, of an enum, array": Case(
        (
            table(
                "a: Mapped[str] = mapped_column(postgresql.DOMAIN('email', Text, schema='types'))",
                "c: Mapped[Any] = mapped_column(ARRAY(postgresql.DOMAIN('tag', Text)))",
            ),
        )
    ),
    "enum value removed, index names it": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', 'z', name='kind'), server_default='x')",
                "n: Mapped[int]",
                arguments="Index('i1', 'n', postgresql_where=text(\"a = 'x'\")), Index('i2', 'n', postgresql_where=text(\"a = 'z'\")), CheckConstraint(\"a <> 'z' OR n > 0\", name='c'), CheckConstraint(\"a <> 'x' OR n > 0\", name='d')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default='y')",
                "n: Mapped[int]",
                arguments="Index('i1', 'n', postgresql_where=text(\"a = 'x'\")), Index('i2', 'n', postgresql_where=text(\"a = 'y'\")), CheckConstraint(\"a <> 'x' OR n > 0\", name='d')",
            ),
        )
    ),
    "enum value renamed, all name it": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'z', name='kind'), server_default='z')",
                "n: Mapped[int]",
                arguments="Index('i2', 'n', postgresql_where=text(\"a = 'z'\")), CheckConstraint(\"a <> 'z' OR n > 0\", name='c')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'zz', name='kind'), server_default='zz')",
                "n: Mapped[int]",
                arguments="Index('i2', 'n', postgresql_where=text(\"a = 'zz'\")), CheckConstraint(\"a <> 'zz' OR n > 0\", name='c')",
            ),
        )
    ),
    "enum value added, all name it": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'z', name='kind'), server_default='z')",
                "n: Mapped[int]",
                arguments="Index('i2', 'n', postgresql_where=text(\"a = 'z'\")), CheckConstraint(\"a <> 'z' OR n > 0\", name='c')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'z', 'new', name='kind'), server_default='new')",
                "n: Mapped[int]",
                arguments="Index('i2', 'n', postgresql_where=text(\"a = 'new'\")), CheckConstraint(\"a <> 'new' OR n > 0\", name='c')",
            ),
        )
    ),
    "odd enums": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', \"it's\", 'a\"b', '', 'c%d', ':e', 'f\\\\\\\\g', 'ü', name='Kind'), server_default=\"it's\")",
                "b: Mapped[Any] = mapped_column(Enum('select', 'user', name='order'), server_default='user')",
                "c: Mapped[Any] = mapped_column(ARRAY(Enum('p', 'q', name='Some Type')), server_default='{p}')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum(\"it's\", 'a\"b', '', 'c%d', ':e', 'f\\\\\\\\g', 'ü', name='Kind'), server_default=\"it's\")",
                "b: Mapped[Any] = mapped_column(Enum('select', 'user', 'new\\'s', name='order'), server_default='user')",
                "c: Mapped[Any] = mapped_column(ARRAY(Enum('p', name='Some Type')), server_default='{p}')",
            ),
            "",
        )
    ),
    "enum in another schema": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', 'z', name='Kind', schema='Types'), server_default='x')",
                "b: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', 'z', name='Kind', schema='Types')), server_default='{x}')",
                arguments="Index('i1', 'a', postgresql_where=text(\"a = 'x'\"))",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='Kind', schema='Types'), server_default='x')",
                "b: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', name='Kind', schema='Types')), server_default='{x,y}')",
                arguments="Index('i1', 'a', postgresql_where=text(\"a = 'y'\"))",
            ),
            table("a: Mapped[str]"),
        )
    ),
    "enum order changed": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default='x')",
                arguments="Index('ix', 'a')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('y', 'x', name='kind'), server_default='x')",
                arguments="Index('ix', 'a')",
            ),
        )
    ),
    "composite foreign keys across schemas": Case(
        (
            table(
                "a: Mapped[int]",
                "b: Mapped[int]",
                arguments="UniqueConstraint('a', 'b'), {'schema': 'Billing'}",
                name="parents",
            ).replace("},)", "})")
            + table(
                "pa: Mapped[int | None]",
                "pb: Mapped[int | None]",
                arguments="ForeignKeyConstraint(['pa', 'pb'], ['Billing.parents.a', 'Billing.parents.b'], ondelete='SET NULL', onupdate='CASCADE', match='FULL'), Index(None, 'pa', 'pb')",
                name="kids",
            ),
            table(
                "a: Mapped[int]",
                "b: Mapped[int]",
                arguments="UniqueConstraint('a', 'b'), {'schema': 'Billing'}",
                name="parents",
            ).replace("},)", "})")
            + table(
                "pa: Mapped[int | None]",
                "pb: Mapped[int | None]",
                arguments="ForeignKeyConstraint(['pa', 'pb'], ['Billing.parents.a', 'Billing.parents.b'], ondelete='RESTRICT', deferrable=True), Index(None, 'pa', 'pb')",
                name="kids",
            ),
            "",
        )
    ),
    "index kinds": Case(
        (
            table(
                "a: Mapped[str]",
                "b: Mapped[str]",
                "c: Mapped[Any] = mapped_column(JSONB)",
                arguments="Index('i1', 'a', unique=True, postgresql_nulls_not_distinct=True), Index('i2', 'a', postgresql_include=['b', 'c']), "
                "Index('i3', 'c', postgresql_using='gin', postgresql_ops={'c': 'jsonb_path_ops'}), Index('i4', text('lower(a) text_pattern_ops')), "
                "Index('i5', 'a', postgresql_with={'fillfactor': 50}), Index('i6', desc('a').nulls_last()), Index('i7', func.lower(text('b'))), "
                "Index('i8', text('a COLLATE \"C\"')), Index('I 9', 'a', 'b', postgresql_where=text(\"a LIKE '%:x%' AND b <> 'it''s'\")), "
                "UniqueConstraint('b', name='u1', postgresql_nulls_not_distinct=True), UniqueConstraint('a', 'b', name='u2', postgresql_include=['id'])",
            ),
            table(
                "a: Mapped[str]",
                "b: Mapped[str]",
                "c: Mapped[Any] = mapped_column(JSONB)",
                arguments="Index('i1', 'a', unique=True), Index('i2', 'a', postgresql_include=['b']), "
                "Index('i3', 'c', postgresql_using='gin'), Index('i4', text('lower(a)')), "
                "Index('i5', 'a', postgresql_with={'fillfactor': 70}), Index('i6', desc('a').nulls_first()), Index('i7', func.upper(text('b'))), "
                "Index('i8', text('a COLLATE \"POSIX\"')), Index('I 9', 'a', 'b', postgresql_where=text(\"a LIKE '%:y%'\")), "
                "UniqueConstraint('b', name='u1'), UniqueConstraint('a', 'b', name='u2')",
            ),
        )
    ),
    "computed became plain": Case(
        (
            table(
                "a: Mapped[int]",
                "b: Mapped[int | None] = mapped_column(Computed('a + 1', persisted=True))",
            ),
            table("a: Mapped[int]", "b: Mapped[int | None]"),
        ),
        refused="op.drop_column",
    ),
    "plain became computed": Case(
        (
            table("a: Mapped[int]", "b: Mapped[int | None]"),
            table(
                "a: Mapped[int]",
                "b: Mapped[int | None] = mapped_column(Computed('a + 1', persisted=True))",
            ),
        ),
        refused="op.drop_column",
    ),
    "computed retyped": Case(
        (
            table(
                "a: Mapped[int]",
                "b: Mapped[int] = mapped_column(Integer, Computed('a + 1', persisted=True))",
            ),
            table(
                "a: Mapped[int]",
                "b: Mapped[int] = mapped_column(BigInteger, Computed('a + 1', persisted=True))",
            ),
        )
    ),
    "identity gone": Case(
        (
            table("n: Mapped[int] = mapped_column(Identity())"),
            table("n: Mapped[int]"),
        ),
        refused="DROP IDENTITY",
    ),
    "comments": Case(
        (
            table(
                'a: Mapped[int] = mapped_column(comment="it\'s 100% :x \\\\\\\\ \\" ")',
                arguments="{'comment': \"a 'quoted' % :comment\"}",
            )
            .replace("},)", "})")
            .replace("({", "{")
            .replace("})", "}"),
            table("a: Mapped[int] = mapped_column(comment='other')"),
            table("a: Mapped[int]", arguments="{'comment': ':b::c %s %(x)s'}")
            .replace("},)", "})")
            .replace("({", "{")
            .replace("})", "}"),
        )
    ),
    "collations": Case(
        (
            table("a: Mapped[str] = mapped_column(String(10, collation='C'))", "b: Mapped[str]"),
            table(
                "a: Mapped[str] = mapped_column(String(10, collation='POSIX'))",
                "b: Mapped[str] = mapped_column(Text(collation='C'), server_default='x')",
            ),
            table("a: Mapped[str] = mapped_column(String(10))", "b: Mapped[str]"),
        )
    ),
    "exclusion changed": Case(
        (
            table(
                "during: Mapped[Any] = mapped_column(AwareRange)",
                "n: Mapped[int]",
                arguments="ExcludeConstraint(('during', '&&'), name='ex')",
            ),
            table(
                "during: Mapped[Any] = mapped_column(AwareRange)",
                "n: Mapped[int]",
                arguments="ExcludeConstraint(('during', '&&'), name='ex', where=text(\"n > 0\"), deferrable=True, initially='DEFERRED')",
            ),
            table("during: Mapped[Any] = mapped_column(AwareRange)", "n: Mapped[int]"),
        )
    ),
    "deferrable changed": Case(
        (
            table(
                "a: Mapped[int] = mapped_column()",
                "b: Mapped[int | None]",
                arguments="UniqueConstraint('a', name='u', deferrable=True), ForeignKeyConstraint(['b'], ['things.id'], name='fk', deferrable=True, initially='DEFERRED'), Index('ib', 'b')",
            ),
            table(
                "a: Mapped[int] = mapped_column()",
                "b: Mapped[int | None]",
                arguments="UniqueConstraint('a', name='u'), ForeignKeyConstraint(['b'], ['things.id'], name='fk'), Index('ib', 'b')",
            ),
            table(
                "a: Mapped[int] = mapped_column()",
                "b: Mapped[int | None]",
                arguments="UniqueConstraint('a', name='u', deferrable=True, initially='DEFERRED'), ForeignKeyConstraint(['b'], ['things.id'], name='fk', initially='DEFERRED', deferrable=True, ondelete='CASCADE'), Index('ib', 'b')",
            ),
        )
    ),
    "more defaults": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', name='kind')), server_default=text(\"ARRAY['x','y']::kind[]\"))",
                'b: Mapped[Any] = mapped_column(JSONB, server_default=text("\'{\\"a\\": \\"b: c\\", \\"d\\": 10}\'::jsonb"))',
                "c: Mapped[Any] = mapped_column(JSONB, server_default=func.jsonb_build_object('a', 'b%', 'c', 1))",
                "d: Mapped[str] = mapped_column(server_default=text(\"'a\\\\:b'\"))",
                "e: Mapped[str] = mapped_column(server_default='%(x)s %% \\\"quoted\\\" \\'s')",
                "f: Mapped[str] = mapped_column(server_default='C:\\\\\\\\dir\\\\\\\\n')",
                "g: Mapped[Any] = mapped_column(AwareDateTime, server_default=text(\"now() + interval '1 day'\"))",
                "h: Mapped[Any] = mapped_column(AwareDateTime, server_default=text(\"timezone('utc', now())\"))",
                "i: Mapped[Any] = mapped_column(Date, server_default=func.current_date())",
                "j: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default=text(\"'y'::kind\"))",
                "k: Mapped[float] = mapped_column(server_default=text('-1.5'))",
                "l: Mapped[Any] = mapped_column(ARRAY(Integer), server_default=text('ARRAY[1,2]'))",
                "m: Mapped[str] = mapped_column(server_default='日本 é')",
                "n: Mapped[Any] = mapped_column(Time, server_default='12:30:00')",
                "o: Mapped[str] = mapped_column(server_default=func.concat('a:', 'b''c'))",
                "p: Mapped[str] = mapped_column(server_default=text('current_user'))",
                "q: Mapped[Any] = mapped_column(server_default=sa.literal('it%s').op('||')('x'), type_=Text)",
            ),
            table(
                "a: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'y', name='kind')), server_default=text(\"ARRAY['y']::kind[]\"))",
                'b: Mapped[Any] = mapped_column(JSONB, server_default=text("\'{\\"a\\": \\"b: d\\", \\"d\\": 10}\'::jsonb"))',
                "c: Mapped[Any] = mapped_column(JSONB, server_default=func.jsonb_build_object('a', 'b:%', 'c', 2))",
                "d: Mapped[str] = mapped_column(server_default=text(\"'a\\\\:c'\"))",
                "e: Mapped[str] = mapped_column(server_default='%(x)s :y')",
                "f: Mapped[str] = mapped_column(server_default='C:\\\\\\\\dir')",
                "g: Mapped[Any] = mapped_column(AwareDateTime, server_default=text(\"now() + interval '2 day 01:00:00'\"))",
                "h: Mapped[Any] = mapped_column(AwareDateTime)",
                "i: Mapped[Any] = mapped_column(Date)",
                "j: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default=text(\"'x'::kind\"))",
                "k: Mapped[float] = mapped_column()",
                "l: Mapped[Any] = mapped_column(ARRAY(Integer), server_default=text('ARRAY[1]'))",
                "m: Mapped[str] = mapped_column(server_default='日本')",
                "n: Mapped[Any] = mapped_column(Time, server_default='12:31:00')",
                "o: Mapped[str] = mapped_column(server_default=func.concat('a:', 'b'))",
                "p: Mapped[str] = mapped_column()",
                "q: Mapped[Any] = mapped_column(server_default=sa.literal(':it').op('||')('x'), type_=Text)",
            ),
        )
    ),
    "longest names": Case(
        (
            table(
                f"{L}a: Mapped[int]",
                f"{L}b: Mapped[int]",
                f"{L}c: Mapped[int | None]",
                f"{L}e: Mapped[Any] = mapped_column(Enum('x', name='{L}enu'), server_default='x')",
                arguments=f"UniqueConstraint('{L}a', '{L}b'), Index(None, '{L}a', '{L}b'), CheckConstraint('{L}a > 0', name='{L}ck'), "
                f"ForeignKeyConstraint(['{L}c'], ['{L}tab.id']), Index(None, '{L}c'), ExcludeConstraint(('{L}a', '='), using='btree', name='{L}ex')",
                name=f"{L}tab",
            ),
            table(
                f"{L}a: Mapped[int]",
                f"{L}b: Mapped[int]",
                f"{L}c: Mapped[int | None]",
                f"{L}e: Mapped[Any] = mapped_column(Enum('x', 'y', name='{L}enu'), server_default='x')",
                arguments=f"UniqueConstraint('{L}a', '{L}b', deferrable=True), Index(None, '{L}a', '{L}b', unique=True), CheckConstraint('{L}a > 1', name='{L}ck'), "
                f"ForeignKeyConstraint(['{L}c'], ['{L}tab.id'], ondelete='CASCADE'), Index(None, '{L}c')",
                name=f"{L}tab",
            ),
        )
    ),
    "table renamed": Case(
        (
            table(
                "a: Mapped[int] = mapped_column(index=True)",
                "b: Mapped[Any] = mapped_column(Enum('x', name='kind'))",
                name="olds",
            ),
            table(
                "a: Mapped[int] = mapped_column(index=True)",
                "b: Mapped[Any] = mapped_column(Enum('x', name='kind'))",
                name="news",
            ),
        )
    ),
    "nullable and type at once": Case(
        (
            table(
                "a: Mapped[int | None]",
                "b: Mapped[str] = mapped_column(String(5))",
                arguments="Index('ia', 'a', postgresql_where=text('a > 0')), CheckConstraint('a > 0', name='c')",
            ),
            table(
                "a: Mapped[int] = mapped_column(BigInteger, server_default='0', comment='c')",
                "b: Mapped[str | None] = mapped_column(String(50), comment='x')",
                arguments="Index('ia', 'a', postgresql_where=text('a > 0')), CheckConstraint('a > 0', name='c')",
            ),
            table(
                "a: Mapped[str] = mapped_column(Text)",
                "b: Mapped[str | None] = mapped_column(CHAR(3))",
            ),
        )
    ),
    "computed with virtual types": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(JSONB)",
                "b: Mapped[str] = mapped_column(Computed(\"a->>'x:y'\", persisted=True))",
                "c: Mapped[str] = mapped_column(Computed(\"(a->>'50%') || E'\\\\\\\\n'\", persisted=True))",
            ),
        )
    ),
    "primary key changed": Case(
        (
            "class T(Base):\n    __tablename__ = 't'\n    a: Mapped[int] = mapped_column(primary_key=True)\n    b: Mapped[int]\n",
            "class T(Base):\n    __tablename__ = 't'\n    a: Mapped[int] = mapped_column(primary_key=True)\n    b: Mapped[int] = mapped_column(primary_key=True)\n",
        )
    ),
    "sequences": Case(
        (
            table(
                "n: Mapped[int] = mapped_column(Sequence('numbers', start=5, increment=2), server_default=Sequence('numbers').next_value())"
            ),
            table("n: Mapped[int]"),
        )
    ),
    "table options": Case(
        (
            table(
                "n: Mapped[int]",
                arguments="{'prefixes': ['UNLOGGED'], 'postgresql_with': {'fillfactor': 70}}",
            )
            .replace("},)", "}")
            .replace("({", "{"),
        )
    ),
    "hstore, citext and others": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(postgresql.HSTORE)",
                "b: Mapped[Any] = mapped_column(postgresql.CITEXT, server_default='x')",
                "c: Mapped[Any] = mapped_column(postgresql.INET)",
                "d: Mapped[Any] = mapped_column(postgresql.MONEY, server_default='1')",
                "e: Mapped[Any] = mapped_column(postgresql.TSVECTOR)",
                "f: Mapped[Any] = mapped_column(postgresql.OID)",
                "g: Mapped[Any] = mapped_column(postgresql.REGCLASS)",
                "h: Mapped[Any] = mapped_column(postgresql.JSONPATH)",
                "i: Mapped[Any] = mapped_column(ARRAY(postgresql.CITEXT))",
                "j: Mapped[Any] = mapped_column(ARRAY(postgresql.HSTORE))",
                "k: Mapped[Any] = mapped_column(postgresql.MACADDR8)",
                "l: Mapped[Any] = mapped_column(postgresql.ENUM('q', 'r', name='pgenum'))",
                "m: Mapped[Any] = mapped_column(sa.Uuid(as_uuid=False))",
                "n: Mapped[Any] = mapped_column(postgresql.TSQUERY)",
                "o: Mapped[Any] = mapped_column(sa.LargeBinary)",
                "p: Mapped[Any] = mapped_column(postgresql.TIME(timezone=True, precision=2))",
                "q: Mapped[Any] = mapped_column(sa.Double)",
                "r: Mapped[Any] = mapped_column(sa.REAL)",
                "s: Mapped[Any] = mapped_column(sa.Float(53))",
                "t: Mapped[Any] = mapped_column(sa.SmallInteger)",
                "u: Mapped[Any] = mapped_column(sa.CHAR(1))",
                "v: Mapped[Any] = mapped_column(sa.Unicode(7))",
                "w: Mapped[Any] = mapped_column(sa.UnicodeText)",
                "x: Mapped[Any] = mapped_column(postgresql.NUMMULTIRANGE)",
                "y: Mapped[Any] = mapped_column(postgresql.CIDR)",
            ),
        ),
        before="DO 'BEGIN CREATE EXTENSION hstore; CREATE EXTENSION citext; END'",
        undo="DROP EXTENSION hstore, citext",
    ),
    "emoji and backslashes": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', name='kind'), server_default='x')",
                "b: Mapped[str]",
                arguments="CheckConstraint(\"b <> 'a'\", name='b')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', ':smile:', 'a\\\\:b', 'c%', name='kind'), server_default=':smile:')",
                "b: Mapped[str]",
                arguments="CheckConstraint(text(\"b <> '\\\\:s\\\\:'\"), name='b')",
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum(':smile:', 'a\\\\:b', name='kind'), server_default=':smile:')",
                "b: Mapped[str]",
            ),
        )
    ),
    "a referenced table dropped": Case(
        (
            table("a: Mapped[int]", name="parents")
            + table(
                "parent_id: Mapped[int] = mapped_column(ForeignKey('parents.id'), index=True)",
                "b: Mapped[int]",
                "d: Mapped[int] = mapped_column(Computed('b + 1', persisted=True))",
            ),
            table("parent_id: Mapped[int]"),
        )
    ),
    "enums come and go with columns and tables": Case(
        (
            table("a: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default='x')")
            + table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'), server_default='y')",
                "c: Mapped[Any] = mapped_column(Enum('x', 'y', name='kind'))",
                name="olds",
            ),
            table(
                "b: Mapped[Any] = mapped_column(Enum('x', 'z', name='kind'), server_default='z')",
                arguments="Index('ib', 'b', postgresql_where=text(\"b = 'z'\"))",
            )
            + table(
                "a: Mapped[Any] = mapped_column(ARRAY(Enum('x', 'z', name='kind')), server_default='{z}')",
                name="news",
            ),
        )
    ),
    "longest enum": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='"
                + "K" * 63
                + "'), server_default='x')"
            ),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', name='"
                + "K" * 63
                + "'), server_default='x')"
            ),
        )
    ),
    "partitioned by an enum": Case(
        (
            """
class M(Base):
    __tablename__ = "ms"
    __table_args__ = (Index('im', 'n', postgresql_where=text("kind = 'x'")), {"postgresql_partition_by": "RANGE (at)"})
    at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[Any] = mapped_column(Enum('x', 'y', name='measured'), server_default='x')
    n: Mapped[int]
""",
            """
class M(Base):
    __tablename__ = "ms"
    __table_args__ = (Index('im', 'n', postgresql_where=text("kind = 'x'")), {"postgresql_partition_by": "RANGE (at)"})
    at: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[Any] = mapped_column(Enum('x', 'z', name='measured'), server_default='z')
    n: Mapped[int]
""",
        )
    ),
    "odd indexes in schemas": Case(
        (
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'y', name='order', schema='S 1'), server_default='x')",
                "n: Mapped[int]",
                arguments="Index('I x', 'n', unique=True, postgresql_where=text(\"a = 'x'\")), CheckConstraint(\"a <> 'y'\", name='Odd'), {'schema': 'S 1'}",
            ).replace("},)", "})"),
            table(
                "a: Mapped[Any] = mapped_column(Enum('x', 'w', name='order', schema='S 1'), server_default='w')",
                "n: Mapped[int]",
                arguments="Index('I x', 'n', unique=True, postgresql_where=text(\"a = 'w'\")), CheckConstraint(\"a <> 'w'\", name='Odd'), {'schema': 'S 1'}",
            ).replace("},)", "})"),
        )
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
    "partitioned by an enum": "CREATE TABLE m1 PARTITION OF ms FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
    "partitions": "CREATE TABLE m1 PARTITION OF measurements FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
}
# What the drivers could send, or read back, in different ways: odd characters, arrays, options.
BOTH_DRIVERS = [
    "CHECK of a long name",
    "decorated twice, in an array, by dialect",
    "defaults",
    "domains",
    "emoji and backslashes",
    "enum value added, all name it",
    "enum value removed, index names it",
    "exclusion",
    "identity options",
    "more defaults",
    "odd enums",
    "odd names",
    "other types",
    "percent signs",
    "what others own",
]
