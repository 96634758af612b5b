"""Example rows for development; those that are there already are left as they are."""

{% from "engine.jinja" import for_engine with context %}{% call for_engine() %}
import asyncio
from itertools import product

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from {{ cookiecutter.project_slug }}.database import Database
from {{ cookiecutter.project_slug }}.models import Post, Role, User
from {{ cookiecutter.project_slug }}.settings import Settings

FIRST_NAMES = ("Amara", "Bao", "Chloé", "Dmitri", "Elif", "Farah", "Grace", "Hiro", "Inés", "Jonas")
LAST_NAMES = ("Okafor", "Nguyễn", "Martin", "Novák", "Lindqvist")
TITLES = ("What changed this week", "Notes from the review", "A question about invoices")


async def seed() -> None:
    people = [f"{first} {last}" for last, first in product(LAST_NAMES, FIRST_NAMES)]
    rows = [
        {
            "name": name,
            "email": f"person{number}@example.com",
            "role": Role.ADMIN if number == 1 else Role.MEMBER,
            "is_active": number % 10 != 0,
            "age": None if number % 7 == 0 else 17 + number,
        }
        for number, name in enumerate(people, start=1)
    ]
    async with Database(Settings()) as database, database.transaction() as session:
        statement = postgresql_insert(User).values(rows).on_conflict_do_nothing()
        result = await session.scalars(statement.returning(User.id))
        new = result.all()
        posts = [
            {"author_id": author, "title": title, "body": f"{title}: more of it here."}
            for author in new
            for title in TITLES[: author % 4]
        ]
        if posts:
            await session.execute(insert(Post), posts)
    print(f"Seeded {len(new)} users and {len(posts)} posts.")


if __name__ == "__main__":
    asyncio.run(seed())
{% endcall %}
