"""The bodies of requests and responses."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import MISSING, BaseModel, ConfigDict, Field, StringConstraints

from ..models import Role

# PostgreSQL cannot store NUL in a text.
NO_NUL = r"^[^\x00]*$"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=NO_NUL),
]
Email = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
Body = Annotated[str, StringConstraints(max_length=100_000, pattern=NO_NUL)]
Age = Annotated[int, Field(ge=0, le=150)]

Key = Annotated[int, Path(ge=1, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=100, description="Items of a page.")]
After = Annotated[str | None, Query(description="The `next` of the page before.")]

Item = TypeVar("Item")


class PageOut(BaseModel, Generic[Item]):
    """A page of a list; `next` is the `after` of the next one."""

    model_config = ConfigDict(from_attributes=True)

    items: list[Item]
    next: str | None


class UserIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    email: Email
    is_active: bool = True
    role: Role = Role.MEMBER
    age: Age | None = None


class UserChange(BaseModel):
    """What to change. A field that is MISSING keeps its value; null would be a value."""

    model_config = ConfigDict(extra="forbid")

    name: Name | MISSING = MISSING
    email: Email | MISSING = MISSING
    is_active: bool | MISSING = MISSING
    role: Role | MISSING = MISSING
    age: Age | MISSING | None = MISSING


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    email: str
    is_active: bool
    role: Role
    age: int | None
    created_at: datetime
    updated_at: datetime


class PostIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Title
    body: Body


class PostChange(BaseModel):
    """What to change. A field that is MISSING keeps its value."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(description="The version that the change is based on.")]
    title: Title | MISSING = MISSING
    body: Body | MISSING = MISSING


class PostOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    body: str
    author_id: int
    version: int
    created_at: datetime
    updated_at: datetime


class AuthorOut(BaseModel):
    id: int
    name: str


class PostWithAuthorOut(PostOut):
    author: AuthorOut
