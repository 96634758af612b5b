"""Pages of a list by keyset: the last is as fast as the first, and writes do not shift them."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Integer, Select, bindparam, tuple_
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
{% else %}
from sqlalchemy.orm import Session
{% endif %}

from ..database.base import Entity

Item = TypeVar("Item", bound=Entity)


class InvalidCursorError(ValueError):
    """The cursor is not one that a page has given out."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a list, and the cursor of the next page where there is one."""

    items: Sequence[Item]
    next: str | None


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
class Pages(Generic[Item]):
    """The pages of a list, newest first; make one per list, since building statements takes time.

    Wants an index that ends with `created_at, id`.
    """

    def __init__(self, statement: Select[Item], entity: type[Item]) -> None:
        position = tuple_(
            bindparam("after_created_at", type_=entity.created_at.type),
            bindparam("after_id", type_=entity.id.type),
        )
        self._first = statement.order_by(entity.created_at.desc(), entity.id.desc()).limit(
            bindparam("limit", type_=Integer),
        )
        self._following = self._first.where(tuple_(entity.created_at, entity.id) < position)

    async def fetch(
        self,
        session: AsyncSession,
        parameters: Mapping[str, Any] | None = None,
        *,
        after: str | None,
        limit: int,
    ) -> Page[Item]:
        """The items that follow the cursor; raises InvalidCursorError.

        The parameters are those of the list's own statement.
        """
        values = {**(parameters or {}), "limit": limit + 1}
        statement = self._first
        if after is not None:
            statement = self._following
            values["after_created_at"], values["after_id"] = decode_cursor(after)
        result = await session.scalars(statement, values)
        found = result.all()
        items = found[:limit]
        return Page(items, encode_cursor(items[-1]) if len(found) > limit else None)
{% endcall %}


def encode_cursor(item: Entity) -> str:
    """The cursor of the page that follows the item."""
    return urlsafe_b64encode(json.dumps([item.created_at.isoformat(), item.id]).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, int]:
    """The creation time and the key of the item that the page follows."""
    try:
        created_at, key = json.loads(urlsafe_b64decode(cursor))
        position = datetime.fromisoformat(created_at), int(key)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidCursorError("the cursor is not one of this list") from error
    if position[0].tzinfo is None or not 0 < position[1] < 2**63:
        raise InvalidCursorError("the cursor is not one of this list")
    return position
