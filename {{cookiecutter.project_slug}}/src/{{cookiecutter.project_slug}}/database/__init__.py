"""The database layer: engines, sessions, units of work, transactions, health."""

from .base import Base
from .database import Database
from .faults import Fault, fault_of

__all__ = ["Base", "Database", "Fault", "fault_of"]
