"""The launcher of the rendered projects, dev/postgres.py, as a module of the template's tests.

Jinja stands only in its strings, so that the template's own file can be imported.
"""

import importlib.util
import sys
from types import ModuleType

from projects import PROJECT, TEMPLATE


def import_launcher() -> ModuleType:
    path = TEMPLATE / PROJECT / "dev" / "postgres.py"
    spec = importlib.util.spec_from_file_location("launcher_of_the_template", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # into the template
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = writes
    return module


launcher = import_launcher()
