"""The code that docs/controllers.md walks through is the code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kybern_controllers_workloads import ttl_after_finished
from tests.controllers import test_job_cluster, test_ttl_after_finished

DOCS = Path(__file__).parents[2] / "docs" / "controllers.md"
SOURCES = "".join(
    Path(module.__file__ or "").read_text()
    for module in (ttl_after_finished, test_ttl_after_finished, test_job_cluster)
)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL))
def test_a_quoted_piece_is_in_its_file(block: str) -> None:
    assert block in SOURCES or block.startswith("# my_controllers/")


def test_the_whole_controller_is_shown() -> None:
    shown = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    code = Path(ttl_after_finished.__file__ or "").read_text().partition("import Context, Controller, Key, Result\n")[2]
    lines = {line for block in shown for line in block.splitlines()}
    assert [line for line in code.splitlines() if line not in lines] == []
