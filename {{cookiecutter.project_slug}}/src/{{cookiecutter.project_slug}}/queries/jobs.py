"""Queries of jobs, for the worker."""

from datetime import timedelta

from sqlalchemy import delete, func, select, update
{% if cookiecutter.engine == "async" %}
from sqlalchemy.ext.asyncio import AsyncSession
{% else %}
from sqlalchemy.orm import Session
{% endif %}

from ..models import Job

# A job that is not done after this time is given to another worker: its worker may be dead.
LEASE = timedelta(minutes=5)
MAX_ATTEMPTS = 5


{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
async def claim_job(session: AsyncSession) -> Job | None:
    """Take the next job that is due, and count the attempt. Commit this before you do the job."""
    due = (
        select(Job.id)
        .where(Job.run_at <= func.now())
        .order_by(Job.run_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(Job)
        .where(Job.id == due.scalar_subquery())
        .values(attempts=Job.attempts + 1, run_at=func.now() + LEASE)
        .returning(Job)
    )
    return await session.scalar(statement, execution_options={"synchronize_session": False})


async def remove_job(session: AsyncSession, job: Job) -> None:
    """Delete a job that is done, unless its lease is over and another worker has it."""
    statement = delete(Job).where(Job.id == job.id, Job.attempts == job.attempts)
    await session.execute(statement)


async def put_back_job(session: AsyncSession, job: Job, error: Exception) -> None:
    """Give a job that has failed another attempt later, or set it aside after the last one."""
    delay = timedelta(seconds=10 * 3**job.attempts)  # 30 s, 90 s, 4.5 min, 13.5 min
    is_last = job.attempts >= MAX_ATTEMPTS
    statement = (
        update(Job)
        .where(Job.id == job.id, Job.attempts == job.attempts)
        .values(run_at=None if is_last else func.now() + delay, error=repr(error))
    )
    await session.execute(statement)
{% endcall %}
