"""The database layer keeps its promises, on a table of its own."""

{% if cookiecutter.engine == "async" %}
import asyncio
{% endif %}
import logging
import multiprocessing
import threading
{% if cookiecutter.engine == "async" %}
from collections.abc import AsyncIterator
{% else %}
from collections.abc import Iterator
{% endif %}
from datetime import UTC, datetime

import pytest
from sqlalchemy import ForeignKey, bindparam, func, select, text, update
{% if cookiecutter.engine == "async" %}
from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column, relationship
{% else %}
from sqlalchemy.exc import DBAPIError, InvalidRequestError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship
{% endif %}

from {{ cookiecutter.project_slug }}.database import Database, Fault, fault_of
from {{ cookiecutter.project_slug }}.database.base import AwareDateTime, Base, Entity
from {{ cookiecutter.project_slug }}.database.faults import sqlstate_of
from {{ cookiecutter.project_slug }}.database.transactions import lock, try_lock
from {{ cookiecutter.project_slug }}.settings import Settings

ACCOUNTS = "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL)"
BALANCE = text("SELECT balance FROM accounts WHERE id = 1")
DEPOSIT = text("UPDATE accounts SET balance = balance + 1 WHERE id = 1")
