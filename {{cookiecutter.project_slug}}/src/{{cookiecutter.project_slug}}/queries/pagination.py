"""Pages of a list by keyset: the last is as fast as the first, and writes do not shift them."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import Select, tuple_
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
async def fetch_page(
    session: AsyncSession,
    statement: Select[Item],
    entity: type[Item],
    *,
    after: str | None,
    limit: int,
) -> Page[Item]:
    """The items of the statement that follow the cursor, newest first.

    Wants an index that ends with `created_at, id`. Raises InvalidCursorError.
    """
    statement = statement.order_by(entity.created_at.desc(), entity.id.desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(tuple_(entity.created_at, entity.id) < decode_cursor(after))
    result = await session.scalars(statement)
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
