"""The measures of `make bench` work, on a small scale: they measure what they say, and nothing fails underneath."""

from __future__ import annotations

import pytest

from benchmarks import fanout, listing, requests, table


def figures(rows: list[table.Row]) -> str:
    return " ".join(row.kybern for row in rows)


def test_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "COUNT", 60)
    monkeypatch.setattr(requests, "CONNECTIONS", 4)
    rows = list(requests.measure())
    assert len(rows) == 4 and "errors" not in figures(rows)


def test_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "COUNT", 30)
    (row,) = listing.measure()
    assert row.measure == "list 30 pods (0 MB)" and row.kybern.endswith(" ms")


def test_fanout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "WATCHERS", 8)
    monkeypatch.setattr(fanout, "EVENTS", 20)
    (row,) = fanout.measure()
    assert ", 0 dropped" in row.kybern


def test_the_table_shows_what_is_not_met() -> None:
    rows = [
        table.Row("get", "1/s", ">= 4/s", "5/s", table.limit(5, at_least=4)),
        table.Row("list", "9 ms", "<= 3 ms", "4 ms", table.limit(4, at_most=3)),
    ]
    lines = table.render(rows).splitlines()
    assert lines[0].split("|")[1:5] == [" measure ", " reference ", " Kybern must ", " Kybern "]
    assert lines[2].endswith("| yes |") and lines[3].endswith("| NO  |")
