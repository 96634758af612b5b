"""Example rows for development: `python -m dev.seed`, as often as you like."""

{% if cookiecutter.engine == "async" %}
import asyncio

{% endif %}
from sqlalchemy.dialects.postgresql import insert
