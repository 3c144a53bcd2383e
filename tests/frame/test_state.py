"""The directory of a cluster: what a start that failed takes back."""

from __future__ import annotations

from pathlib import Path

from kybern.cluster.state import State


def test_a_failed_start_leaves_the_directory_of_another_that_begins_alone(tmp_path: Path) -> None:
    beginning, failed = State(tmp_path / "lab"), State(tmp_path / "lab")
    beginning.lock()
    failed.discard()
    assert (tmp_path / "lab" / "lock").exists()
    beginning.unlock()
    failed.discard()
    assert not (tmp_path / "lab").exists()
