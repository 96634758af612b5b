"""Any schema: what autogenerate writes runs, converges, is undone, and passes the gates."""

import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from deployments import Deployment, environment
from projects import TEMPLATE, BakedProject
from pytest_cookies.plugin import Cookies
from schema_cases import AFTER_FIRST, BOTH_DRIVERS, CASES, HEADER, table

pytestmark = pytest.mark.slow

SHAPES = """
from sqlalchemy.types import UserDefinedType

class Point(UserDefinedType):
    cache_ok = True
    def __init__(self, dimension: int = 2) -> None:
        self.dimension = dimension
    def get_col_spec(self, **_): return "point"
"""


@pytest.fixture(scope="session", params=["async", "sync"])
def rendered(request: pytest.FixtureRequest, cookies_session: Cookies) -> BakedProject:
    result: Any = cookies_session.bake(  # type: ignore[no-untyped-call]  # pytest-cookies ships no types
        extra_context={"engine": request.param, "example_models": "no", "fastapi": "no"},
        template=str(TEMPLATE),
    )
    assert result.exception is None, result.exception
    return BakedProject(result.project_path, result.context)


def run_gates(deployment: Deployment, server: str, *options: str, fails: bool = False) -> str:
    """Run the project's own tests of its revisions."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, "tests/test_migrations.py"],
        cwd=deployment.path,
        env={**environment(PYTHONPATH="src"), "TEST_DATABASE_URL": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("rendered", "name"),
    [("async", name) for name in CASES] + [("sync", name) for name in BOTH_DRIVERS],
    indirect=["rendered"],
)
def test_a_schema_converges(deployment: Deployment, server: str, name: str) -> None:
    case = CASES[name]
    for path in (deployment.package / "models").glob("[a-z]*.py"):
        path.unlink()
    for path in (deployment.package / "migrations/versions").glob("2*.py"):
        path.unlink()
    (deployment.package / "models/shapes.py").write_text(SHAPES)
    (deployment.package / "migrations/versions/2020-01-01_before.py").write_text(
        EXTENSION.lstrip()
        .replace("CREATE EXTENSION IF NOT EXISTS btree_gist", case.before or "SELECT 1")
        .replace("DROP EXTENSION IF EXISTS btree_gist", case.undo or "SELECT 1")
    )
    deployment.run("upgrade head")
    for number, schema in enumerate(case.schemas):
        (deployment.package / "models/things.py").write_text(HEADER + schema + "\n")
        if case.refused and number == len(case.schemas) - 1:
            process = deployment.start(f"revision --autogenerate -m step{number}")
            process.join()
            assert process.exitcode != 0, deployment.output()
            assert case.refused in deployment.output()
            return
        deployment.run(f"revision --autogenerate -m step{number}")
        [revision] = (deployment.package / "migrations/versions").glob(f"*_step{number}.py")
        print(revision.read_text())
        deployment.run("upgrade head", "check", "downgrade -1", "upgrade head", "check")
        if number == 0 and name in AFTER_FIRST:
            deployment.sql(AFTER_FIRST[name])
    written = revision.read_text().replace('"', "'")
    for part in case.writes:
        assert part.format(package=deployment.path.name).replace('"', "'") in written
    for part in case.never:
        assert part not in written.partition("def downgrade")[0]
    if "asyncpg" in (deployment.path / "pyproject.toml").read_text():  # here the drivers are alike
        run_gates(deployment, server, "-k", "not squawk")


SHOP = Path(__file__).with_name("shop_models.py")
EXTENSION = '''
"""Create the extension that an exclusion by text needs."""

from collections.abc import Sequence

from alembic import op

revision: str = "1a2b3c4d5e6f"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")


def downgrade() -> None:
    op.execute("DROP EXTENSION IF EXISTS btree_gist")
'''
ROWS = """
INSERT INTO categories (name, parent_id) VALUES ('all', 1), ('books', 1);
INSERT INTO products (kind, sku, name, attributes) VALUES
    ('book', 'AA-1', 'It''s', NULL), ('ticket', 'AA-2', '100% %s :x', 'null');
INSERT INTO books VALUES (1, '9780000000000');
INSERT INTO tickets VALUES (2, '1 day 2 hours', '{MONDAY}');
INSERT INTO product_categories VALUES (1, 2);
INSERT INTO customers (kind, email) VALUES ('person', 'a@b.c');
INSERT INTO teams DEFAULT VALUES;
INSERT INTO employees (team_id, manager_id) VALUES (1, 1), (1, 1);
UPDATE teams SET lead_id = 2;
INSERT INTO orders (customer_id) VALUES (1);
INSERT INTO invoices (order_id) VALUES (1);
INSERT INTO lines (order_id, position, product_id, price) VALUES (1, 1, 1, 9.5);
INSERT INTO returns (id, order_id, position) VALUES (1, 1, 1);
INSERT INTO bookings (room, days) VALUES ('a', '[2020-01-01,2020-01-05)');
INSERT INTO billing.rates VALUES ('EUR', '2020-01-01', 1.1);
CREATE TABLE visits_2020 PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO visits (at, customer_id) VALUES ('2020-02-02', 1);
CREATE MATERIALIZED VIEW product_names AS SELECT name FROM products;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR DELETE ON billing.rates EXECUTE FUNCTION refuse();
ALTER TABLE billing.rates DISABLE TRIGGER refuse;
"""
CHANGES = """
UPDATE products SET attributes = '{}', price = 5;
DELETE FROM returns;
DELETE FROM invoices;
DELETE FROM product_categories;
INSERT INTO employees (team_id, manager_id) VALUES (1, 2);
UPDATE teams SET lead_id = NULL;
UPDATE employees SET manager_id = NULL WHERE id = 1;
DELETE FROM visits;
INSERT INTO visits (at) VALUES ('2020-03-03');
TRUNCATE bookings RESTART IDENTITY;
UPDATE billing.rates SET rate = 2;
ALTER TABLE billing.rates ENABLE TRIGGER refuse;
REFRESH MATERIALIZED VIEW product_names;
"""


def contents(deployment: Deployment) -> dict[str, list[str]]:
    names = deployment.sql("SELECT relation::text FROM snapshot.tables()")
    return {
        name: sorted(deployment.sql(f"SELECT rows::text FROM {name} AS rows")) for name in names
    }


@pytest.fixture
def shop(deployment: Deployment) -> Deployment:
    """A project of twenty tables, whose one revision autogenerate has written."""
    shutil.copy(SHOP, deployment.package / "models/shop.py")
    versions = deployment.package / "migrations/versions"
    (versions / "2020-01-01_extension.py").write_text(EXTENSION.lstrip())
    deployment.run(
        "upgrade head",
        "revision --autogenerate -m shop",
        "upgrade head",
        "check",
        "downgrade base",
        "upgrade head",
        "check",
    )
    return deployment


def test_a_shop_of_twenty_tables_passes_its_projects_checks(
    shop: Deployment, rendered: BakedProject
) -> None:
    project = BakedProject(shop.path, rendered.answers)
    project.run("ruff", "check")
    project.run("ruff", "format", "--check")
    unused = ("-p", "no:asyncio") if rendered.answers["engine"] == "sync" else ()
    assert " passed" in project.run("pytest", *unused)


def test_every_row_of_a_shop_is_put_back(shop: Deployment) -> None:
    snapshot = runpy.run_path(str(shop.path / "tests/snapshot.py"))
    shop.sql(ROWS)
    for statement in snapshot["TAKE"]:
        shop.sql(statement)
    before = contents(shop)
    assert len(before["teams"]) == 1
    shop.sql(CHANGES)
    assert contents(shop) != before
    started = time.monotonic()
    shop.sql(snapshot["PUT_BACK"])
    print(f"put back in {(time.monotonic() - started) * 1000:.1f} ms")
    assert contents(shop) == before
    shop.sql("INSERT INTO bookings (room, days) VALUES ('b', 'empty')")  # the next key is free
    shop.sql(snapshot["PUT_BACK"])
    assert contents(shop) == before
    shop.sql("ALTER TABLE teams ADD COLUMN more int")
    with pytest.raises(psycopg.Error, match="changed the schema"):
        shop.sql(snapshot["PUT_BACK"])


def squawk(deployment: Deployment) -> str:
    """What squawk refuses of all revisions."""
    sql = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
        cwd=deployment.path,
        env=environment(DATABASE_URL=deployment.url),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return subprocess.run(
        ["squawk", "--config", ".squawk.toml"],
        cwd=deployment.path,
        input=sql,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout


def test_squawk_accepts_what_the_documents_recommend(deployment: Deployment) -> None:
    """Adding a value to an enum, removing one, and the second key of two tables in use."""
    values = "a: Mapped[Any] = mapped_column(Enum({}, name='kind'), server_default='a')"
    models = deployment.package / "models/things.py"
    for number, labels in enumerate(("'a'", "'a', 'b'")):
        models.write_text(HEADER + table(values.format(labels)))
        deployment.run(f"revision --autogenerate -m step{number}", "upgrade head")
    assert "Found 0 issues" in squawk(deployment)
    declarations = """
from {package}.migrations import online

def change() -> None:
    with online.squawk_ignore_block(
        "ban-drop-default", "ban-drop-type", "changing-column-type", "renaming-object"
    ):
        op.execute("ALTER TYPE public.kind RENAME TO kind_old")
        op.execute("CREATE TYPE public.kind AS ENUM ('a')")
        op.execute(
            "ALTER TABLE things ALTER COLUMN a DROP DEFAULT, "
            "ALTER COLUMN a TYPE public.kind USING a::text::public.kind, "
            "ALTER COLUMN a SET DEFAULT 'a'::kind"
        )
        op.execute("DROP TYPE public.kind_old")
"""
    deployment.add_revision(
        "removed", "change()", declarations.format(package=deployment.path.name)
    )
    deployment.run("upgrade head")
    assert "Found 0 issues" in squawk(deployment)
    deployment.add_revision(
        "circular",
        'op.create_table("owners", '
        'sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True), '
        'sa.Column("thing_id", sa.BigInteger(), sa.ForeignKey("things.id")))\n'
        '    op.add_column("things", sa.Column("owner_id", sa.BigInteger()))',
    )
    deployment.add_revision(
        "second",
        'online.create_foreign_key("fk_owner", "things", "owners", ["owner_id"], ["id"])',
        f"from {deployment.path.name}.migrations import online",
    )
    deployment.run("upgrade head")
    assert "Found 0 issues" in squawk(deployment)


@pytest.mark.parametrize("rendered", ["async"], indirect=True)
def test_the_gates_name_what_is_wrong(deployment: Deployment, server: str) -> None:
    first, changed = CASES["definitions changed"].schemas
    models = deployment.package / "models/things.py"
    models.write_text(HEADER + first)
    deployment.run("upgrade head", "revision --autogenerate -m first --rev-id first")
    models.write_text(HEADER + changed)
    named = run_gates(deployment, server, "-k", "agree", fails=True)
    for name in ("ck_things_c", "things.uc", "things.i1", "things.i2", "things.i3", "things.i4"):
        assert name in named

    key = "a_id: Mapped[int | None] = mapped_column(ForeignKey('things.id'{}))"
    models.write_text(HEADER + table(key.format("")))
    for path in (deployment.package / "migrations/versions").glob("2*.py"):
        path.unlink()
    deployment.run("revision --autogenerate -m first --rev-id first", "upgrade head")
    named = run_gates(deployment, server, "-k", "foreign_key", fails=True)
    assert "'fk_things_a_id_things'" in named
    models.write_text(HEADER + table(key.format(", info={'no_index': 'one row'}")))
    run_gates(deployment, server, "-k", "foreign_key")

    deployment.add_revision(
        "left",
        'op.create_table("left_behind", sa.Column("a", sa.Text()))\n\ndef downgrade(): pass',
    )
    assert "['left_behind'] == []" in run_gates(deployment, server, "-k", "leaves", fails=True)
    assert "DuplicateTable" in run_gates(deployment, server, "-k", "undone", fails=True)


def test_no_revision_is_written_where_nothing_differs(deployment: Deployment) -> None:
    versions = deployment.package / "migrations/versions"
    before = sorted(versions.iterdir())
    assert "no revision was written" in deployment.run("revision --autogenerate -m nothing")
    assert sorted(versions.iterdir()) == before
    deployment.run("revision -m empty")
    assert len(list(versions.glob("*_empty.py"))) == 1


def test_an_undefined_name_in_a_new_revision_is_said(deployment: Deployment) -> None:
    template = deployment.package / "migrations/script.py.mako"
    template.write_text(template.read_text().replace('else "pass"}', 'else "String()"}', 1))
    assert "F821 Undefined name `String`" in deployment.run("revision -m wrong")


@pytest.mark.parametrize("rendered", ["async"], indirect=True)
def test_branches_are_errors_that_say_what_to_do(deployment: Deployment) -> None:
    def refused(command: str) -> str:
        process = deployment.start(command)
        process.join()
        assert process.exitcode != 0
        return deployment.output()

    deployment.run(
        "revision -m root --rev-id root",
        "revision -m one --rev-id one --head root",
        "revision -m two --rev-id two --head root --splice",
    )
    assert "alembic merge heads" in refused("upgrade head")
    assert "alembic merge heads" in refused("upgrade head --sql")
    assert "alembic upgrade heads" in refused("revision --autogenerate -m three")
    assert "alembic upgrade heads" in refused("check")
    deployment.run("upgrade heads", "merge heads -m both --rev-id both", "upgrade head")
    assert "Name the revision to go to: one or two." in refused("downgrade -1")
    deployment.run("downgrade one", "upgrade head", "downgrade root")
    assert "Name the revision to go to: " in refused("upgrade +1")
