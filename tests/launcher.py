"""The launcher of the rendered projects, dev/postgres.py, as a module of the template's tests.

Jinja stands only in its strings, so that the template's own file can be imported.
"""

import importlib.util
from types import ModuleType

from projects import PROJECT, TEMPLATE


def import_launcher() -> ModuleType:
    path = TEMPLATE / PROJECT / "dev" / "postgres.py"
    spec = importlib.util.spec_from_file_location("launcher_of_the_template", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launcher = import_launcher()
