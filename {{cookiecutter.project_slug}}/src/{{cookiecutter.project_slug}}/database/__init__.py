"""The database layer: engines, sessions, units of work, transactions, health."""

from .base import Base
from .database import Database
from .faults import Fault, OutcomeUnknownError, fault_of
from .rows import Rows

__all__ = ["Base", "Database", "Fault", "OutcomeUnknownError", "Rows", "fault_of"]
