"""The tasks that a job can name. A job may run twice, so each task must bear that."""

import logging
{% if cookiecutter.engine == "async" %}
from collections.abc import Awaitable, Callable
{% else %}
from collections.abc import Callable
{% endif %}
from typing import Any

from .database import Database
from .queries import users

{% if cookiecutter.engine == "async" %}
Task = Callable[[Database, dict[str, Any]], Awaitable[None]]
{% else %}
Task = Callable[[Database, dict[str, Any]], None]
{% endif %}

logger = logging.getLogger(__name__)


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def confirm_email(database: Database, payload: dict[str, Any]) -> None:
    """Ask the new address of payload["user_id"] for a confirmation."""
    async with database.read_only() as session:
        user = await users.get_user(session, payload["user_id"])
    if user is None:
        return  # deleted since
    # Send the e-mail here, where no connection is held.
    logger.info("asked user %d for a confirmation", user.id)


TASKS: dict[str, Task] = {"confirm_email": confirm_email}
{% endcall %}
