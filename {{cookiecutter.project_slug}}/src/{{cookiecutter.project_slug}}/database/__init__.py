"""The database layer: engines, sessions, units of work, fetch(), and what errors mean."""

from .base import Base, Entity
from .database import Database
from .faults import Fault, OutcomeUnknownError, fault_of

__all__ = ["Base", "Database", "Entity", "Fault", "OutcomeUnknownError", "fault_of"]
