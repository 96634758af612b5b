"""Pages of a list by keyset: the last is as fast as the first, and writes do not shift them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, {{ "Connection, " if cookiecutter.engine == "sync" }}Integer, bindparam, select, tuple_
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
{% else %}
from sqlalchemy.orm import Session
{% endif %}

from ..database.base import Entity

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
# What reads rows: the connection of read_rows(), or a session.
Reader = AsyncConnection | AsyncSession


class InvalidCursorError(ValueError):
    """The cursor is not one that a page has given out."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, by column, and the cursor of the next page where there is one."""

    items: list[dict[str, Any]]
    next: str | None


class Pages:
    """The pages of a table's rows, newest first; make one per list: building statements takes time.

    The conditions may have parameters. Wants an index that ends with `created_at, id`.
    """

    def __init__(self, entity: type[Entity], *conditions: ColumnElement[bool]) -> None:
        table = entity.__table__
        created_at, key = table.c.created_at, table.c.id
        newest_first = select(table).where(*conditions).order_by(created_at.desc(), key.desc())
        position = tuple_(
            bindparam("after_created_at", type_=created_at.type),
            bindparam("after_id", type_=key.type),
        )
        self._first = newest_first.limit(bindparam("limit", type_=Integer))
        self._following = self._first.where(tuple_(created_at, key) < position)

    async def fetch(
        self,
        reader: Reader,
        parameters: Mapping[str, Any] | None = None,
        *,
        after: str | None,
        limit: int,
    ) -> Page:
        """The rows that follow the cursor, with the conditions' parameters.

        Raises InvalidCursorError.
        """
        values = {**(parameters or {}), "limit": limit + 1}
        statement = self._first
        if after is not None:
            statement = self._following
            values["after_created_at"], values["after_id"] = decode_cursor(after)
        result = await reader.execute(statement, values)
        columns = result.keys()
        # Dictionaries, since looking up each value of a Row by its name takes thrice as long.
        found = [dict(zip(columns, row, strict=True)) for row in result]
        items = found[:limit]
        return Page(items, encode_cursor(items[-1]) if len(found) > limit else None)
{% endcall %}


def encode_cursor(row: Mapping[str, Any]) -> str:
    """The cursor of the page that follows the row."""
    position = [row["created_at"].isoformat(), row["id"]]
    return urlsafe_b64encode(json.dumps(position).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """The creation time and the key of the row that the page follows."""
    try:
        created_at, key = json.loads(urlsafe_b64decode(cursor))
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None or not 0 < key < 2**63:
            raise ValueError("out of range")
        return moment.astimezone(UTC), int(key)
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise InvalidCursorError("the cursor is not one of this list") from error
