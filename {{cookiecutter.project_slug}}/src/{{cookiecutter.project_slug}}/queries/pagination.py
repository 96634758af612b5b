"""Keyset pagination: the last page is as fast as the first, and new rows do not shift pages."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, select, tuple_

from ..database import Database, Rows
from ..database.base import Entity

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}

class InvalidCursorError(ValueError):
    """The cursor did not come from a page of this list."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, by column name, and the cursor of the next page, if there is one."""

    items: list[dict[str, Any]]
    next: str | None


class KeysetPages:
    """The pages of a table's rows, newest first.

    Create one for each list, at module level, because building its statements takes time. The
    conditions may have parameters. The table needs an index that ends with `created_at, id`.
    """

    def __init__(self, entity: type[Entity], *conditions: ColumnElement[bool]) -> None:
        table = entity.__table__
        created_at, key = table.c.created_at, table.c.id
        newest_first = select(table).where(*conditions).order_by(created_at.desc(), key.desc())
        position = tuple_(
            bindparam("after_created_at", type_=created_at.type),
            bindparam("after_id", type_=key.type),
        )
        first = newest_first.limit(bindparam("limit", type_=Integer))
        self._first = Rows(first)
        self._following = Rows(first.where(tuple_(created_at, key) < position))

    async def fetch(
        self,
        database: Database,
        parameters: Mapping[str, Any] | None = None,
        *,
        after: str | None,
        limit: int,
    ) -> Page:
        """Return up to `limit` rows after the cursor, or the first ones.

        `parameters` are those of the conditions. Raises InvalidCursorError.
        """
        values = {**(parameters or {}), "limit": limit + 1}
        statement = self._first
        if after is not None:
            statement = self._following
            values["after_created_at"], values["after_id"] = decode_cursor(after)
        found = await database.rows(statement, **values)
        items = found[:limit]
        return Page(items, encode_cursor(items[-1]) if len(found) > limit else None)
{% endcall %}


def encode_cursor(row: Mapping[str, Any]) -> str:
    """Return the cursor of the page that follows the row."""
    position = [row["created_at"].isoformat(), row["id"]]
    return urlsafe_b64encode(json.dumps(position).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """Return the creation time and the key of the row that the page follows."""
    try:
        created_at, key = json.loads(urlsafe_b64decode(cursor))
        moment = datetime.fromisoformat(created_at)
        if moment.tzinfo is None or not 0 < key < 2**63:
            raise ValueError("out of range")
        return moment.astimezone(UTC), int(key)
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise InvalidCursorError("This cursor is not one of this list.") from error
