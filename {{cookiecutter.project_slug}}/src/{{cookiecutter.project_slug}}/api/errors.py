"""Errors as problem+json (RFC 9457): faults of the database and errors of FastAPI."""

from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import Constraint, ForeignKeyConstraint, Index, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException

from ..database import Base, Fault, fault_of
from ..database.faults import constraint_of, is_still_referred_to, log_cause
from ..logs import request_id
from ..queries.pages import InvalidCursorError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"Retry-After": "1"}  # seconds

ANSWERS = {
    Fault.UNAVAILABLE: (503, "The database is unavailable. Try again later."),
    Fault.TIMED_OUT: (504, "The database took too long."),
    Fault.OUTCOME_UNKNOWN: (503, "This may have been done or not. Look before you try again."),
    Fault.CONFLICT: (409, "This conflicts with existing data."),
    Fault.STALE: (409, "Somebody else has changed this. Read it again."),
    Fault.INVALID: (422, "This breaks a rule of the database."),
}


class Problem(BaseModel):
    """The body of every error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] | None = None
    request_id: str | None = None


def problem(status: int, detail: str, *, headers: Any = None, errors: Any = None) -> JSONResponse:
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=errors,
        request_id=request_id.get(),
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for what few routes answer, such as 404."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


def describe_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Add to each route of an OpenAPI document what any route may answer, and keep its own."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    operations = [each for path in document["paths"].values() for each in path.items()]
    for method, operation in operations:
        described = operation["responses"]
        if "/HTTPValidationError" in str(described.get("422")):
            del described["422"]  # FastAPI's own, in place of which the service answers a problem
        if "probes" not in operation.get("tags", ()):  # those name all that they answer
            body = [400] if "requestBody" in operation else []
            conflict = [409] if method in {"post", "put", "patch", "delete"} else []
            for status, response in problems(*body, *conflict, 422, 503, 504).items():
                described.setdefault(str(status), response)
    for name in ("HTTPValidationError", "ValidationError"):
        if f"/{name}'" not in str(document):  # a callback may still refer to it
            schemas.pop(name, None)
    return document


def add_handlers(app: FastAPI) -> None:
    app.add_exception_handler(SQLAlchemyError, answer_database_error)
    app.add_exception_handler(InvalidCursorError, answer_invalid_cursor)
    app.add_exception_handler(RequestValidationError, answer_invalid_request)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(Exception, answer_bug)


async def answer_database_error(_request: Request, error: Exception) -> JSONResponse:
    fault = fault_of(error)
    if fault is None:
        raise error
    status, detail = ANSWERS[fault]
    if status == 503:
        log_cause(error)
    elif isinstance(error, DBAPIError):
        detail = meaning_of(error) or detail
    return problem(status, detail, headers=RETRY_AFTER if fault is Fault.UNAVAILABLE else None)


def meaning_of(error: DBAPIError) -> str | None:
    """Return what the models say of the constraint that was violated, if they say something."""
    info = constraint_info().get(constraint_of(error) or "", {})
    if is_still_referred_to(error):
        return info.get("meaning_if_referred_to", "Other data still refers to this.")
    return info.get("meaning")


@cache
def constraint_info() -> dict[str, dict[str, str]]:
    """Return the info of each constraint of the models, by its name in the database."""
    found: dict[str, dict[str, str]] = {}
    dialect = make_url("postgresql://").get_dialect()()
    names = dialect.identifier_preparer  # it cuts names to 63 characters
    for table in Base.metadata.tables.values():
        constraints: list[Constraint | Index] = [*table.constraints, *table.indexes]
        for constraint in constraints:
            info: dict[Any, Any] = dict(constraint.info)
            if isinstance(constraint, ForeignKeyConstraint):
                for foreign_key in constraint.elements:
                    info |= foreign_key.info
            if constraint.name is not None:
                found[str(names.format_constraint(constraint)).strip('"')] = info
    return found


async def answer_invalid_cursor(_request: Request, error: Exception) -> JSONResponse:
    return problem(422, f"after: {error}")


async def answer_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Leave the input out: it may be a secret, or not fit for JSON.
    errors = [{name: each[name] for name in ("loc", "msg", "type")} for each in error.errors()]
    return problem(422, "The request is not valid.", errors=errors)


async def answer_http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def answer_bug(_request: Request, _error: Exception) -> JSONResponse:
    # The server logs the exception. The client learns nothing about it.
    return problem(500, "Internal server error.")
