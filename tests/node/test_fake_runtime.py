"""The fake runtime keeps the seam's contract, and does what its vocabulary says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.clock import Clock, VirtualClock
from kybern.node.runtime import ContainerState, RuntimeDriver
from kybern.testing.runtime import RuntimeContract
from kybern_runtime_fake import kybern_runtime
from kybern_runtime_fake.addresses import Addresses
from kybern_runtime_fake.driver import FakeDriver
from kybern_runtime_fake.journal import Journal, SandboxRecord
from kybern_runtime_fake.options import BehaviourError, Options, Rule, Subject, behaviour_of
from kybern_runtime_fake.prober import answer_at
from kybern_runtime_fake.script import DATE, interpret, run_command


class TestFakeRuntime(RuntimeContract):
    async def make(self, state_dir: Path, clock: Clock) -> RuntimeDriver:
        return FakeDriver("n1", clock, Options(), state_dir)

    def make_clock(self) -> Clock:
        return VirtualClock()


def test_the_plugin_offers_the_runtime_fake() -> None:
    assert kybern_runtime(start=None) == {"fake": FakeDriver}  # type: ignore[arg-type]  # the hook needs nothing of it


@pytest.mark.parametrize(
    ("script", "lines", "ends"),
    [
        ("echo a; echo b", [(0, "a"), (0, "b")], (0, 0)),
        ("echo a && sleep 2 && echo b", [(0, "a"), (2, "b")], (2, 0)),
        ("false || echo rescued", [(0, "rescued")], (0, 0)),
        ("false && echo never", [], (0, 1)),
        ("for i in 1 2 3; do echo n $i; sleep 1; done", [(0, "n 1"), (1, "n 2"), (2, "n 3")], (3, 0)),
        ("for i in $(seq 1 2); do echo $i; done; exit 7", [(0, "1"), (0, "2")], (0, 7)),
        ("echo 'a; b'", [(0, "a; b")], (0, 0)),
        ("echo $NAME ${NAME}", [(0, "web web")], (0, 0)),
        ("X=1; echo $X", [(0, "1")], (0, 0)),
        ("sleep 1m", [], (60, 0)),
        ("apt-get update && echo done", [(0, "done")], (0, 0)),
        ("echo to-file > /tmp/x; cat /tmp/x; rm /tmp/x; cat /tmp/x", None, (0, 1)),
        ("[ -f /tmp/none ] || exit 4", [], (0, 4)),
        ("echo start\nsleep 3\nexit 2", [(0, "start")], (3, 2)),
        ("sleep infinity", [], (None, 0)),
        ("tail -f /dev/null", [], (None, 0)),
    ],
)
def test_a_script_is_interpreted(
    script: str, lines: list[tuple[float, str]] | None, ends: tuple[float | None, int]
) -> None:
    made = interpret("busybox", ["sh", "-c", script], [], {"NAME": "web"})
    assert made is not None
    if lines is not None:
        assert list(made.lines) == lines
    assert (made.ends_at, made.exit_code) == ends


def test_an_endless_loop_writes_for_ever() -> None:
    made = interpret("busybox", ["sh", "-c", "echo up; while true; do date; sleep 5; done"], [], {})
    assert made is not None
    assert made.ends_at is None
    assert made.lines_until(11) == [(0, "up"), (0, DATE), (5, DATE), (10, DATE)]
    assert made.next_line(11) == 15


@pytest.mark.parametrize(
    ("image", "command", "args", "endless"),
    [
        ("nginx", [], [], True),
        ("nginx", ["nginx", "-g", "daemon off;"], [], True),
        ("busybox", [], [], False),
        ("library/busybox:1.36", [], ["echo", "hi"], False),
        ("myapp:v1", [], ["--port=80"], True),
        ("hello-world", [], [], False),
        ("k8s.gcr.io/pause:3.9", [], [], True),
        ("busybox", ["httpd", "-f"], [], True),
    ],
)
def test_servers_run_on_and_jobs_end(image: str, command: list[str], args: list[str], endless: bool) -> None:
    made = interpret(image, command, args, {})
    assert (made is None or made.ends_at is None) is endless


def test_a_shell_with_a_terminal_waits_for_input() -> None:
    assert interpret("busybox", [], [], {}, stdin=True) is None


def test_commands_run_in_a_container_see_its_files() -> None:
    made = interpret("busybox", ["sh", "-c", "touch /tmp/a; sleep 10; rm /tmp/a; sleep 100"], [], {})
    assert run_command(made, 5, {}, ["cat", "/tmp/a"])[0] == 0
    assert run_command(made, 15, {}, ["cat", "/tmp/a"])[0] == 1
    assert run_command(made, 15, {"HOSTNAME": "p"}, ["hostname"]) == (0, "p\n")


def subject(**annotations: str) -> Subject:
    notes = {f"fake.kybern.dev/{key.replace('__', '.').replace('_', '-')}": value for key, value in annotations.items()}
    return Subject("n1", "default", "web-1", "c", "nginx:1", notes)


def test_a_containers_annotation_beats_the_pods_and_rules_in_order() -> None:
    options = Options(rules=(Rule(image="nginx*", crash_after=1.0), Rule(pod="web-*", crash_after=2.0, exit_code=9)))
    assert behaviour_of(options, subject()) == {"crash_after": 2.0, "exit_code": 9}
    assert behaviour_of(options, subject(crash_after="3s"))["crash_after"] == 3.0
    assert (
        behaviour_of(options, subject(crash_after="3", c__crash_after="4", other__crash_after="5"))["crash_after"]
        == 4.0
    )
    assert behaviour_of(Options(rules=(Rule(node="n2", exit_code=1),)), subject()) == {}


def test_an_annotation_that_means_nothing_is_told() -> None:
    with pytest.raises(BehaviourError, match="crash-aftr: no such behaviour"):
        behaviour_of(Options(), subject(crash_aftr="1"))
    with pytest.raises(BehaviourError, match="'soon' is not a number"):
        behaviour_of(Options(), subject(crash_after="soon"))


@pytest.mark.parametrize(
    ("rule", "age", "answer"),
    [
        ("failure", 0, "failure"),
        ("failure@0,success@30", 29, "failure"),
        ("failure@0,success@30", 30, "success"),
        ("failure@5", 4, "success"),
    ],
)
def test_probe_rules_change_with_age(rule: str, age: float, answer: str) -> None:
    assert answer_at(rule, age) == answer


def test_addresses_are_handed_out_once_and_come_back() -> None:
    addresses = Addresses("10.0.0.0/29")
    taken = [addresses.take() for _ in range(5)]
    assert taken == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    with pytest.raises(Exception, match=r"no IP addresses available in range set: 10\.0\.0\.0/29"):
        addresses.take()
    addresses.give_back("10.0.0.4")
    assert addresses.take() == "10.0.0.4"
    assert Addresses("fd00::/64").take() == "fd00::2"


@pytest.mark.anyio
async def test_the_journal_is_rewritten_when_most_of_it_is_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kybern_runtime_fake.journal._HISTORY", 10)
    clock = VirtualClock()
    journal = Journal.of(tmp_path, True)
    for n in range(500):
        journal.put(
            SandboxRecord(id=f"s{n % 3}", node="n1", name=str(n), namespace="d", uid="u", attempt=0, created_at=1.0)
        )
        await clock.advance(0)
    journal.drop("s0")
    journal.release()
    assert len((tmp_path / "fake-runtime.jsonl").read_bytes().splitlines()) < 100
    again = Journal.of(tmp_path, True)
    assert sorted((r.id, r.name) for r in again.take("n1")) == [("s1", "499"), ("s2", "497")]  # type: ignore[union-attr]
    again.release()


@pytest.mark.anyio
async def test_a_full_disk_is_survived_and_made_good_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    real, full = os.write, True

    def write(file: int, data: bytes) -> int:
        return real(file, data[:10]) if full else real(file, data)

    monkeypatch.setattr("kybern_runtime_fake.journal.os.write", write)
    clock = VirtualClock()
    journal = Journal.of(tmp_path, True)
    journal.put(SandboxRecord(id="lost", node="n1", name="a", namespace="d", uid="u", attempt=0, created_at=1.0))
    await clock.advance(0)
    full = False
    journal.put(SandboxRecord(id="kept", node="n1", name="b", namespace="d", uid="u", attempt=1, created_at=2.0))
    await clock.advance(0)
    journal.release()
    again = Journal.of(tmp_path, True)
    assert sorted(r.id for r in again.take("n1")) == ["kept", "lost"]
    again.release()


@pytest.mark.anyio
async def test_a_container_that_ends_while_the_process_is_down_ended_at_its_time(tmp_path: Path) -> None:
    suite, clock = TestFakeRuntime(), VirtualClock()
    driver = await suite.make(tmp_path, clock)
    await driver.start()
    await driver.images.pull_image(suite.image)
    container_id = await suite.start(driver, suite.sandbox_config(), ["sleep", "30"])
    began = clock.now()
    await driver.close()
    await clock.advance(100)
    again = await suite.make(tmp_path, clock)
    await again.start()
    status = await again.runtime.container_status(container_id)
    assert (status.state, status.finished_at) == (ContainerState.EXITED, began + 30)
    await again.close()
