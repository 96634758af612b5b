"""The database layer: engines, sessions, units of work, transactions, health."""

from .base import Base
from .faults import Fault, fault_of
from .session import Database

__all__ = ["Base", "Database", "Fault", "fault_of"]
