"""`kybern clock`, as far as it needs no cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kybern.cli import clock
from kybern.cluster.clocks import Shown


def test_an_interrupted_advance_says_where_time_stands_and_stays_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(state: Any, method: str, **query: str) -> Shown:
        if method == "POST":
            raise KeyboardInterrupt
        return Shown("virtual", "2026-05-01T09:30:00Z", 0.0)

    monkeypatch.setattr(clock, "_ask", ask)
    monkeypatch.setattr(clock.clusters, "chosen", lambda name: None)
    with pytest.raises(KeyboardInterrupt):
        clock.run(SimpleNamespace(name="lab", action="advance", duration="30d"))
    assert capsys.readouterr().err == "stopped, time stands at 2026-05-01T09:30:00Z (virtual, frozen)\n"
