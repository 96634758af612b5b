"""Users, who write posts."""

from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Enum, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database.base import Entity

if TYPE_CHECKING:
    from .post import Post


class Role(StrEnum):
    """What a user may do."""

    ADMIN = "admin"
    MODERATOR = "moderator"
    MEMBER = "member"


class User(Entity):
    """A person with an account."""

    __tablename__ = "users"
    __table_args__ = (
        # A constraint's "meaning" is what a client is told when it is violated.
        UniqueConstraint("email", info={"meaning": "A user with this e-mail address exists."}),
        CheckConstraint("age >= 0", name="age", info={"meaning": "An age is not negative."}),
        # Serves the pages of the list, newest first.
        Index(None, "created_at", "id"),
    )

    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True, server_default="true")
    role: Mapped[Role] = mapped_column(
        Enum(Role, name="user_role", values_callable=lambda roles: [role.value for role in roles]),
        default=Role.MEMBER,
        server_default=Role.MEMBER,
    )
    age: Mapped[int | None]

    posts: Mapped[list["Post"]] = relationship(
        back_populates="author",
        lazy="raise",
        # The database deletes a user's posts: ON DELETE CASCADE.
        passive_deletes=True,
    )
