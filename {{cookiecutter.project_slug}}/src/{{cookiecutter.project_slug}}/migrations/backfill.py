"""Filling in the data of a revision while the service runs: a command, not a migration."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ..database.faults import Fault, fault_of
from .running import Timeouts, give_way

logger = logging.getLogger(__name__)

# No transaction lasts longer than a second, nor waits for a row for longer than half of that.
TIMEOUTS = Timeouts(lock=0.5, statement=1)
# Seconds that a batch shall take.
TARGET = 0.25
FIRST_BATCH = 500
REPORT = 2.0


@dataclass(frozen=True)
class Backfill:
    """What a revision leaves to be done, as SQL: `backfill = Backfill(…)` in the revision's file.

    Rows for which `pending` holds are updated with `assignments`, after which it holds no more.
    The `key` is unique, not NULL, and has an order: batches are ranges of it.
    """

    table: str
    pending: str
    assignments: str
    key: str = "id"

    def batch(self) -> str:
        """One statement, one transaction: where the batch ends, its rows, those changed."""
        return f"""
            WITH batch AS MATERIALIZED (
                SELECT {self.key} AS key FROM {self.table}
                WHERE CAST(:after AS text) IS NULL OR {self.key} > :after
                ORDER BY {self.key} LIMIT :size
            ), changed AS (
                UPDATE {self.table} SET {self.assignments} FROM batch
                WHERE {self.table}.{self.key} = batch.key AND ({self.pending})
                RETURNING 1
            )
            SELECT max(key), count(*), (SELECT count(*) FROM changed) FROM batch
        """
