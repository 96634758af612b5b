"""The worker, which does jobs one by one. You can run several."""

{% if cookiecutter.engine == "async" %}
import asyncio
import logging
import signal
{% else %}
import logging
import signal
import time
{% endif %}
from collections.abc import Mapping

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
from sqlalchemy.exc import SQLAlchemyError

from .database import Database, Fault, fault_of
from .database.faults import log_cause
from .logs import request_id, set_up_logs
from .models import Job
from .queries import jobs
from .settings import Settings
from .tasks import TASKS, Task

POLL = 1.0  # seconds between two looks at a table without a due job

logger = logging.getLogger(f"{__package__}.worker")


class Worker:
    """Does the jobs that are due, until stop() is called."""

    def __init__(self, database: Database, tasks: Mapping[str, Task]) -> None:
        self.database = database
        self.tasks = tasks
        self.stopping = False

    def stop(self, *_: object) -> None:
        """End run() after the job in hand. It is also a handler of signals."""
        self.stopping = True

    async def run(self) -> None:
        """Do jobs, and wait while the database is unavailable."""
        while not self.stopping:
            try:
                found = await self.do_next_job()
            except SQLAlchemyError as error:
                if fault_of(error) not in {Fault.UNAVAILABLE, Fault.OUTCOME_UNKNOWN}:
                    raise
                # A job that was in hand is due again after its lease.
                log_cause(error)
                found = False
            if not found and not self.stopping:
                await asyncio.sleep(POLL)

    async def do_next_job(self) -> bool:
        """Do the next job that is due; return False if there is none."""
        async with self.database.transaction() as session:
            job = await jobs.claim_job(session)
        if job is None:
            return False
        token = request_id.set(f"job-{job.id}")
        try:
            await self.do(job)
        finally:
            request_id.reset(token)
        return True

    async def do(self, job: Job) -> None:
        try:
            if job.attempts > jobs.MAX_ATTEMPTS:
                raise RuntimeError("the worker ended during the last attempt")
            await self.tasks[job.task](self.database, job.payload)
        except Exception as error:
            logger.exception("%s failed, attempt %d", job.task, job.attempts)
            async with self.database.transaction() as session:
                await jobs.put_back_job(session, job, error)
        else:
            async with self.database.transaction() as session:
                await jobs.remove_job(session, job)
            logger.info("%s done, attempt %d", job.task, job.attempts)


async def work() -> None:
    """Do jobs on the database of the environment until SIGTERM or Ctrl-C."""
    set_up_logs()
    async with Database(Settings()) as database:
        worker = Worker(database, TASKS)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, worker.stop)
        logger.info("started")
        await worker.run()
    logger.info("stopped")


if __name__ == "__main__":
    asyncio.run(work())
{% endcall %}
