"""The bodies of the hand-written candidates: the same JSON as that of the rendered services."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class UserIn(BaseModel):
    name: str
    email: str
    is_active: bool = True
    role: Literal["admin", "moderator", "member"] = "member"
    age: int | None = None


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    email: str
    is_active: bool
    role: str
    age: int | None
    created_at: datetime
    updated_at: datetime


class UserPage(BaseModel):
    items: list[UserOut]
    next: str | None
