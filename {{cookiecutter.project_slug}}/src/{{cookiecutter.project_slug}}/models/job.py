"""Jobs, which the worker does after the transaction that adds them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from ..database.base import Entity


class Job(Entity):
    """One call of a task of tasks.py."""

    __tablename__ = "jobs"
    # Serves the search for the next job.
    __table_args__ = (Index(None, "run_at", "id"),)

    task: Mapped[str] = mapped_column(String(100))
    payload: Mapped[dict[str, Any]]
    # When a worker may take the job. NULL: it has failed too often, and is set aside.
    run_at: Mapped[datetime | None] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
