"""Posts, each by one user."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..database.base import Entity

if TYPE_CHECKING:
    from .user import User


class Post(Entity):
    """What a user has written."""

    __tablename__ = "posts"
    # Serves the foreign key, and the pages of a user's posts, newest first.
    __table_args__ = (Index(None, "author_id", "created_at", "id"),)

    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    author_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE", info={"meaning": "There is no such user."}),
    )
    version: Mapped[int] = mapped_column(server_default="1")

    author: Mapped["User"] = relationship(back_populates="posts", lazy="raise")

    # An UPDATE of a row whose version has changed since it was read raises StaleDataError.
    __mapper_args__ = {"version_id_col": version}
