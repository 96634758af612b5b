"""Pools: whole after exhaustion, cancellation and forks; one event loop at a time."""

from typing import Any
import pytest
from sqlalchemy import text
from .conftest import *

def test_smoke(connect):
    database = connect()
    with database.transaction() as session:
        assert session.scalar(text("select 1")) == 1
    with database.read_only() as session:
        with pytest.raises(Exception, match="read-only"):
            session.execute(text("delete from users"))
    database.ping()
    assert database.run(lambda session: session.scalar(text("select 2"))) == 2
    print(database.pool_status())

def test_service(serve):
    import httpx2
    s = serve()
    print(httpx2.get(s.base_url + "/readyz").text, httpx2.get(s.base_url + "/slow-read").status_code)
    print(httpx2.get(s.base_url + "/users").text)
