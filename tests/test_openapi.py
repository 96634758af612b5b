"""The OpenAPI document describes what any route of an owner may answer."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from projects import BakedProject

# Routes as owners write them. Each has the statuses in its name, after its success.
ROUTES = """
import json
import sys

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from acme_orders.api.app import create_app
from acme_orders.api.errors import problems


class Change(BaseModel):
    reason: str


leaf = APIRouter(prefix="/leaf", responses=problems(404))
branch = APIRouter(prefix="/branch", responses={422: {"description": "of the branch"}})
callbacks = APIRouter()


@leaf.put("/{key}")
def replace(key: int, change: Change) -> Change:
    return change


@leaf.delete("/{key}", status_code=204, responses={409: {"description": "of the route"}})
def remove(key: int) -> None: ...


@callbacks.post("{$request.body#/url}")
def answer_of_others(change: Change) -> None: ...


branch.include_router(leaf)
app = create_app()
app.openapi()  # which FastAPI keeps until routes are added
app.include_router(leaf)
app.include_router(branch, prefix="/v1")
app.post("/alone", tags=["health"])(lambda: None)
app.api_route("/read", methods=["GET"])(lambda: None)
app.api_route("/look", methods=["HEAD"])(lambda: None)
app.api_route("/options", methods=["OPTIONS"])(lambda: None)
app.patch("/hidden", include_in_schema=False)(lambda: None)
app.mount("/mounted", FastAPI())
without_callbacks = json.dumps(app.openapi())
app.post("/calls", callbacks=callbacks.routes)(replace)
print(json.dumps([json.loads(without_callbacks), app.openapi(), app.openapi()]))
"""
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
# What each route answers beside its success; those with a star have a description of their own.
EXPECTED = {
    "PUT /leaf/{key}": "400 404 409 422 503 504",
    "DELETE /leaf/{key}": "404 409* 422 503 504",
    "PUT /v1/branch/leaf/{key}": "400 404 409 422* 503 504",
    "DELETE /v1/branch/leaf/{key}": "404 409* 422* 503 504",
    "POST /alone": "409 422 503 504",
    "GET /read": "422 503 504",
    "HEAD /look": "422 503 504",
    "OPTIONS /options": "422 503 504",
    "GET /livez": "",
    "GET /readyz": "503",
}


@pytest.fixture(params=["yes", "no"], ids=lambda models: f"models-{models}")
def documents(
    bake: Callable[..., BakedProject], request: pytest.FixtureRequest
) -> list[dict[str, Any]]:
    """Those of an application with these routes: before, and twice after it has a callback."""
    project = bake(project_slug="acme_orders", example_models=request.param)
    done = subprocess.run(
        [sys.executable, "-c", ROUTES],
        cwd=project.path,
        env=os.environ | {"PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


def described(document: dict[str, Any]) -> dict[str, str]:
    """The failures that each route describes; a star marks what is no problem+json."""
    return {
        f"{method.upper()} {path}": " ".join(
            status + ("" if response.get("content") == PROBLEM else "*")
            for status, response in sorted(operation["responses"].items())
            if status >= "400"
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_every_route_describes_its_problems(documents: list[dict[str, Any]]) -> None:
    first, later, again = documents
    found = described(first)
    assert EXPECTED.items() <= found.items()
    examples = {route for route in found if route.split()[1].startswith(("/users", "/posts"))}
    assert found.keys() == EXPECTED.keys() | examples
    assert not [route for route in examples if "*" in found[route]]
    # FastAPI's own schemas stay where something still refers to them.
    own = {"HTTPValidationError", "ValidationError"}
    assert not own & first["components"]["schemas"].keys()
    assert own <= later["components"]["schemas"].keys()
    for document in documents:
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert references(document) <= known
    assert later == again
    assert described(later)["POST /calls"] == "400 409 422 503 504"


def references(document: object) -> set[str]:
    """Every $ref of a document."""
    if isinstance(document, dict):
        own = {document["$ref"]} if isinstance(document.get("$ref"), str) else set()
        return own.union(*map(references, document.values()))
    return set().union(*map(references, document)) if isinstance(document, list) else set()
