"""The database layer: engines, sessions, units of work, transactions, health."""

from .base import Base
from .database import Database
from .faults import Fault, OutcomeUnknownError, fault_of

__all__ = ["Base", "Database", "Fault", "OutcomeUnknownError", "fault_of"]
