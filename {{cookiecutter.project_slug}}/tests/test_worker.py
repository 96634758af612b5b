"""The worker does each job, and keeps what it could not do."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, update

from {{ cookiecutter.project_slug }} import tasks, worker
from {{ cookiecutter.project_slug }}.database import Database, faults
from {{ cookiecutter.project_slug }}.logs import add_request_id
from {{ cookiecutter.project_slug }}.models import Job
from {{ cookiecutter.project_slug }}.queries import jobs
from {{ cookiecutter.project_slug }}.settings import Settings
from {{ cookiecutter.project_slug }}.worker import Worker

from .factories import make_user

PAYLOAD = {"number": 7}


async def succeed(database: Database, payload: dict[str, Any]) -> None:
    assert payload == PAYLOAD


async def fail(database: Database, payload: dict[str, Any]) -> None:
    raise ValueError("poison")


TASKS: dict[str, tasks.Task] = {"succeed": succeed, "fail": fail}


async def add_job(database: Database, **values: Any) -> Job:
    job = Job(**{"payload": PAYLOAD} | values)
    async with database.transaction() as session:
        session.add(job)
    return job


async def stored(database: Database, job: Job) -> Job | None:
    async with database.read_only() as session:
        return await session.get(Job, job.id)


async def make_due(database: Database, job: Job) -> None:
    async with database.transaction() as session:
        statement = update(Job).where(Job.id == job.id).values(run_at=func.now())
        await session.execute(statement)


async def test_a_job_is_done_once(committed: Database) -> None:
    job = await add_job(committed, task="succeed")
    one = Worker(committed, TASKS)
    assert await one.do_next_job()
    assert not await one.do_next_job()
    assert await stored(committed, job) is None


async def test_a_job_of_a_transaction_that_fails_does_not_exist(committed: Database) -> None:
    with pytest.raises(ValueError, match="poison"):
        async with committed.transaction() as session:
            session.add(Job(task="succeed", payload=PAYLOAD))
            await session.flush()
            await fail(committed, PAYLOAD)
    assert not await Worker(committed, TASKS).do_next_job()


@pytest.mark.parametrize(
    ("task", "error"),
    [("fail", "ValueError('poison')"), ("unknown", "KeyError('unknown')")],
)
async def test_a_job_that_fails_is_tried_again_and_then_set_aside(
    committed: Database,
    task: str,
    error: str,
) -> None:
    job = await add_job(committed, task=task)
    one = Worker(committed, TASKS)
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        assert await one.do_next_job()
        assert not await one.do_next_job()  # it waits
        kept = await stored(committed, job)
        assert kept is not None
        assert (kept.attempts, kept.error) == (attempt, error)
        is_last = attempt == jobs.MAX_ATTEMPTS
        assert (kept.run_at is None) == is_last
        if not is_last:
            await make_due(committed, job)
    await add_job(committed, task="succeed")
    assert await one.do_next_job()  # it stands in nobody's way


async def test_two_workers_take_two_jobs(committed: Database) -> None:
    first = await add_job(committed, task="succeed")
    second = await add_job(committed, task="succeed")
    async with committed.transaction() as session, committed.transaction() as other_session:
        mine = await jobs.claim_job(session)
        theirs = await jobs.claim_job(other_session)
        assert mine is not None
        assert theirs is not None
        assert (mine.id, theirs.id) == (first.id, second.id)
        assert await jobs.claim_job(session) is None


async def test_the_job_of_a_worker_that_died_is_done_by_another(committed: Database) -> None:
    job = await add_job(committed, task="succeed")
    async with committed.transaction() as session:
        dead = await jobs.claim_job(session)
    assert dead is not None
    other = Worker(committed, TASKS)
    assert not await other.do_next_job()
    await make_due(committed, job)  # the lease is over
    async with committed.transaction() as session:
        assert await jobs.claim_job(session) is not None
    async with committed.transaction() as session:
        await jobs.remove_job(session, dead)  # it has only been slow
    assert await stored(committed, job) is not None
    await make_due(committed, job)
    assert await other.do_next_job()
    assert await stored(committed, job) is None


async def test_a_job_that_kills_its_workers_is_set_aside(committed: Database) -> None:
    job = await add_job(committed, task="succeed", attempts=jobs.MAX_ATTEMPTS)
    assert await Worker(committed, TASKS).do_next_job()
    kept = await stored(committed, job)
    assert kept is not None
    assert kept.run_at is None
    assert "ended during the last attempt" in str(kept.error)


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("signal_handlers")
async def test_a_signal_ends_the_worker_after_the_job_in_hand(
    committed: Database,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    async def send_signal(database: Database, payload: dict[str, Any]) -> None:
        os.kill(os.getpid(), number)
        await succeed(database, payload)

    url = committed.settings.database_url.get_secret_value()
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setattr(worker, "TASKS", TASKS | {"send_signal": send_signal})
    in_hand = await add_job(committed, task="send_signal")
    next_job = await add_job(committed, task="succeed")
    await worker.work()
    assert await stored(committed, in_hand) is None
    kept = await stored(committed, next_job)
    assert kept is not None
    assert kept.attempts == 0


async def test_the_worker_outlasts_the_database(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "_last_logged", {})

    class BriefWorker(Worker):
        async def do_next_job(self) -> bool:
            self.stop()
            return await super().do_next_job()

    async with Database(Settings(database_url="postgresql://postgres@127.0.0.1:1/x")) as nowhere:
        await BriefWorker(nowhere, TASKS).run()
    assert "the database failed" in caplog.text


async def test_each_line_about_a_job_names_it(
    committed: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = await add_job(committed, task="fail")
    caplog.handler.addFilter(add_request_id)
    await Worker(committed, TASKS).do_next_job()
    caplog.handler.removeFilter(add_request_id)
    [record] = [record for record in caplog.records if record.name.endswith(".worker")]
    assert record.__dict__["request_id"] == f"job-{job.id}"
    assert "poison" in caplog.text


async def test_a_new_address_is_asked_for_a_confirmation(
    committed: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with committed.transaction() as session:
        user = await make_user(session)
        session.add(Job(task="confirm_email", payload={"user_id": user.id}))
        session.add(Job(task="confirm_email", payload={"user_id": 0}))  # deleted since
    one = Worker(committed, tasks.TASKS)
    assert await one.do_next_job()
    assert await one.do_next_job()
    assert caplog.text.count("asked user") == 1
{% endcall %}
