"""Answers probes and hooks of fake containers: by their behaviour, by what their script would do, else with success."""

from __future__ import annotations

from typing import Any

from kybern.clock import Clock
from kybern.node.probe import Prober, ProbeResult, Target
from kybern.node.runtime import RuntimeFault
from kybern_runtime_fake.runtime import FakeRuntime

__all__ = ["FakeProber", "answer_at"]


def answer_at(rule: str, age: float) -> str:
    """What a rule such as `failure@0,success@30` says at an age; before its first step it is a success."""
    said = "success"
    for step in rule.split(","):
        answer, _, since = step.strip().partition("@")
        if age + 1e-6 >= float(since.removesuffix("s") or 0):
            said = answer
    return said


class FakeProber(Prober):
    """For the containers of one node."""

    def __init__(self, runtime: FakeRuntime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def probe(self, kind: str, probe: Any, target: Target) -> ProbeResult:
        try:
            record = self._runtime.record(target.status.id)
            rule = record.behaviour.get(kind)
            if rule is not None:
                return await self._by_rule(str(rule), self._clock.now() - record.started_at, probe)
            if probe.exec is not None:
                result = await self._runtime.exec_sync(target.status.id, probe.exec.command or [])
                return ProbeResult(result.exit_code == 0, result.stdout.decode())
        except RuntimeFault as fault:
            return ProbeResult(False, str(fault), errored=True)
        return ProbeResult(True)

    async def _by_rule(self, rule: str, age: float, probe: Any) -> ProbeResult:
        answer = answer_at(rule, age)
        if answer == "success":
            return ProbeResult(True)
        if answer == "timeout":
            timeout = float(probe.timeoutSeconds or 1)
            await self._clock.sleep(timeout)
            return ProbeResult(False, f"context deadline exceeded after {timeout:g}s")
        if probe.httpGet is not None:
            return ProbeResult(False, "HTTP probe failed with statuscode: 500")
        if probe.tcpSocket is not None:
            return ProbeResult(False, f"dial tcp :{probe.tcpSocket.port}: connect: connection refused")
        if probe.grpc is not None:
            return ProbeResult(False, 'service unhealthy (responded with "NOT_SERVING")')
        return ProbeResult(False, "")

    async def hook(self, kind: str, handler: Any, target: Target) -> ProbeResult:
        prefix = "post_start" if kind == "postStart" else "pre_stop"
        try:
            said = self._runtime.record(target.status.id).behaviour
        except RuntimeFault as fault:
            return ProbeResult(False, str(fault), errored=True)
        delay = float(said.get(prefix + "_delay", 0.0))
        if handler.sleep is not None:
            delay = max(delay, float(handler.sleep.seconds))
        elif handler.exec is not None and not delay:
            delay = _sleeps(handler.exec.command or [])
        if delay:
            await self._clock.sleep(delay)
        error = said.get(prefix + "_error")
        return ProbeResult(error is None, str(error or ""))


def _sleeps(command: list[str]) -> float:
    from kybern_runtime_fake.script import interpret

    script = interpret("busybox", command, (), {})
    return script.ends_at or 0.0 if script is not None else 0.0
