"""Large results that are streamed to an HTTP client, within one unit of work."""

import httpx2
import pytest

from .conftest import Serve, administer, backends, eventually
from .servers import PgBouncer, PostgreSQL, Service

pytestmark = pytest.mark.slow

LINE = 500
# More than the buffers of both sides hold.
LARGE = "/stream?count=200000"
IN_TRANSACTION = "state LIKE 'idle in transaction%'"


@pytest.fixture
def service(serve: Serve) -> Service:
    return serve(pool_size="2", pool_timeout="0.3")


def assert_it_streams_and_lets_go(service: Service) -> None:
    """Whether or not clients wait for the end, and more often than there are connections."""
    with httpx2.Client(base_url=service.base_url, timeout=20) as client:
        for reads_some in (True, False) * 3:
            with client.stream("GET", LARGE) as answer:
                assert answer.status_code == 200
                if reads_some:
                    next(answer.iter_bytes())
            eventually(lambda: client.get("/pools").json()["checked_out"] == 0)
        for _ in range(3):
            assert len(client.get("/stream?count=5000").content) == 5000 * LINE


def test_a_client_that_leaves_gives_the_connection_back(
    server: PostgreSQL, service: Service
) -> None:
    assert_it_streams_and_lets_go(service)
    assert not backends(server, IN_TRANSACTION)


def test_a_stream_works_through_the_pooler(serve: Serve, pgbouncer: PgBouncer) -> None:
    assert_it_streams_and_lets_go(serve(pgbouncer.url(), pgbouncer="true", pool_size="2"))


def test_a_stream_that_gets_no_connection_is_503(service: Service) -> None:
    with httpx2.Client(base_url=service.base_url, timeout=20) as client:
        with client.stream("GET", LARGE), client.stream("GET", LARGE):
            answer = client.get(LARGE)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        eventually(lambda: client.get(LARGE.replace("200000", "1")).status_code == 200)


def test_a_stream_that_fails_is_cut_off(server: PostgreSQL, service: Service) -> None:
    """The client sees that it is not complete, and the service goes on."""
    with httpx2.Client(base_url=service.base_url, timeout=20) as client:
        with client.stream("GET", LARGE) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            with administer(server) as connection:
                for pid in backends(server, "state <> 'idle'"):
                    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            with pytest.raises(httpx2.RemoteProtocolError):
                list(pieces)
        assert len(client.get("/stream?count=10").content) == 10 * LINE


def test_a_client_that_stops_reading_does_not_keep_the_connection(
    server: PostgreSQL, serve: Serve
) -> None:
    service = serve(pool_size="1", idle_in_transaction_timeout="0.5", pool_timeout="5")
    with httpx2.Client(base_url=service.base_url, timeout=20) as client:
        with client.stream("GET", LARGE) as answer:
            next(answer.iter_bytes())
            eventually(lambda: not backends(server, IN_TRANSACTION))
        assert len(client.get("/stream?count=10").content) == 10 * LINE
