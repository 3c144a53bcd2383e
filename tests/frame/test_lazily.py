"""Packages whose `__init__` waits until somebody wants what it defines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BEGIN = "import sys\nfrom kybern import lazily\nlazily.package({name!r})\n"


def _run(code: str, *path: Path) -> str:
    before = f"import sys; sys.path[:0] = {[str(p) for p in path]!r}\n"
    return subprocess.run([sys.executable, "-c", before + code], check=True, capture_output=True, text=True).stdout


def test_the_api_server_does_without_an_http_client() -> None:
    code = "import sys, kybern.apiserver.server, kybern.apiserver.listener; print('aiohttp.client' in sys.modules)"
    assert _run(code) == "False\n"


def test_who_wants_the_client_gets_it_from_the_same_package() -> None:
    code = (
        "from kybern.apiserver.listener import web\n"
        "import aiohttp\n"
        "print(aiohttp.ClientSession.__module__, aiohttp.web is web, type(aiohttp).__name__)"
    )
    assert _run(code) == "aiohttp.client True module\n"


def test_names_that_are_not_there_are_missed_as_always() -> None:
    code = BEGIN.format(name="aiohttp") + "import aiohttp\nprint(hasattr(aiohttp, 'no_such_name'))"
    assert _run(code) == "False\n"


def test_a_package_that_is_imported_or_missing_is_left_alone() -> None:
    code = "import aiohttp\nkept = aiohttp\n" + BEGIN.format(name="aiohttp")
    code += "lazily.package('no_such_package')\nprint(sys.modules['aiohttp'] is kept, 'no_such_package' in sys.modules)"
    assert _run(code) == "True False\n"
