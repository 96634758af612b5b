"""The status command tells the truth, and is fit for a container's health check."""

import pytest

from {{ cookiecutter.project_slug }}.__main__ import main
from {{ cookiecutter.project_slug }}.settings import Settings


def test_a_database_that_answers_is_described(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database_url: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main() == 0
    output = capsys.readouterr().out
    assert "server: PostgreSQL" in output
    assert "(the head)" in output
    settings = Settings()
    pools = 2 * (settings.database_pool_size + settings.database_max_overflow)
    assert f"at most {pools + 1} of" in output


@pytest.mark.parametrize(
    "url",
    ["postgresql://postgres:secret@127.0.0.1:1/postgres", "mysql://postgres:secret@h/db"],
)
def test_one_that_does_not_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert main() == 1
    error = capsys.readouterr().err
    assert error
    assert "secret" not in error
