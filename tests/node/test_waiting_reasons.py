"""Every phase and waiting reason, produced on purpose with the fake runtime's vocabulary."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.api.core import ConfigMapKeySelector, ConfigMapVolumeSource, EnvVar, EnvVarSource, Volume
from kybern.api.meta import ObjectMeta
from tests.node.world import ConfigMap, condition, container, pod, state_of, world

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("annotations", "image", "state", "phase"),
    [
        ({}, "nginx:1", ("running", ""), "Running"),
        ({"pull-error": "no route to host"}, "nginx:1", ("waiting", "ErrImagePull"), "Pending"),
        ({}, "nginx:does-not-exist", ("waiting", "ErrImagePull"), "Pending"),
        ({}, "registry.invalid/nginx:1", ("waiting", "ErrImagePull"), "Pending"),
        ({}, "Not A Reference", ("waiting", "InvalidImageName"), "Pending"),
        ({"create-error": "no space left"}, "nginx:1", ("waiting", "CreateContainerError"), "Pending"),
        ({"start-error": "no such file"}, "nginx:1", ("waiting", "RunContainerError"), "Running"),
        ({"sandbox-error": "no network"}, "nginx:1", ("waiting", "ContainerCreating"), "Pending"),
        ({"no-such-behaviour": "1"}, "nginx:1", ("waiting", "ContainerCreating"), "Pending"),
    ],
)
async def test_a_container_waits_for_the_reason_asked_for(
    tmp_path: Path, annotations: dict[str, str], image: str, state: tuple[str, str], phase: str
) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", container("c", image), annotations=annotations))
        assert (state_of(p), p.status.phase) == (state, phase)


async def test_creating_shows_while_the_start_takes_long(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"start-delay": "5"}))
        await w.pass_time(1)
        assert state_of(w.client.pod("p")) == ("waiting", "ContainerCreating")
        await w.pass_time(5)
        assert state_of(w.client.pod("p")) == ("running", "")


async def test_an_image_that_cannot_be_pulled_backs_off_and_recovers(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", annotations={"pull-failures": "2"}))
        assert state_of(p) == ("waiting", "ErrImagePull")
        await w.pass_time(3)
        p = w.client.pod("p")
        assert state_of(p) == ("waiting", "ImagePullBackOff")
        assert p.status.containerStatuses[0].state.waiting.message.startswith(
            'Back-off pulling image "nginx:1": ErrImagePull:'
        )
        await w.pass_time(8)
        assert len(w.events.said("p", "Pulling")) == 2
        await w.pass_time(20)
        assert state_of(w.client.pod("p")) == ("running", "")
        assert w.events.said("p", "BackOff") and "Error: ErrImagePull" in w.events.said("p", "Failed")


async def test_an_absent_image_with_policy_never_is_never_pulled(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", container(imagePullPolicy="Never")))
        assert state_of(p) == ("waiting", "ErrImageNeverPull")
        assert not w.events.said("p", "Pulling")


async def test_a_missing_config_map_key_keeps_the_container_from_being_made(tmp_path: Path) -> None:
    variable = EnvVar(name="A", valueFrom=EnvVarSource(configMapKeyRef=ConfigMapKeySelector(name="settings", key="a")))
    async with world(tmp_path) as w:
        p = await w.run(pod("p", container(env=[variable])))
        assert state_of(p) == ("waiting", "CreateContainerConfigError")
        assert p.status.containerStatuses[0].state.waiting.message == 'configmap "settings" not found'
        w.client.add(ConfigMap(metadata=ObjectMeta(name="settings", namespace="default"), data={"b": "1"}))
        await w.pass_time(11)
        waiting = w.client.pod("p").status.containerStatuses[0].state.waiting
        assert waiting.message == "couldn't find key a in ConfigMap default/settings"
        w.client.change(
            ConfigMap(metadata=ObjectMeta(name="settings", namespace="default")),
            lambda c: setattr(c, "data", {"a": "1"}),
        )
        await w.pass_time(11)
        assert state_of(w.client.pod("p")) == ("running", "")


async def test_a_missing_volume_source_is_a_failed_mount_until_it_appears(tmp_path: Path) -> None:
    volume = Volume(name="v", configMap=ConfigMapVolumeSource(name="files"))
    async with world(tmp_path) as w:
        p = await w.run(pod("p", volumes=[volume]))
        assert (p.status.phase, state_of(p)) == ("Pending", ("waiting", "ContainerCreating"))
        assert condition(p, "PodReadyToStartContainers").status == "False"
        assert (
            w.events.said("p", "FailedMount")[0]
            == 'MountVolume.SetUp failed for volume "v" : configmap "files" not found'
        )
        w.client.add(ConfigMap(metadata=ObjectMeta(name="files", namespace="default")))
        await w.pass_time(3)
        assert state_of(w.client.pod("p")) == ("running", "")


async def test_a_volume_source_that_appears_after_days_is_mounted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volume = Volume(name="v", configMap=ConfigMapVolumeSource(name="files"))
    async with world(tmp_path) as w:
        p = await w.run(pod("p", volumes=[volume]))
        await w.pass_time(2 * 86_400)
        w.client.add(ConfigMap(metadata=ObjectMeta(name="files", namespace="default")))
        await w.pass_time(122)
        assert state_of(w.client.pod(p.metadata.name)) == ("running", "")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_crashing_container_backs_off_from_10_seconds_doubling_to_5_minutes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        p = await w.run(pod("p", annotations={"exit-code": "1"}))
        assert state_of(p) == ("waiting", "CrashLoopBackOff")
        assert p.status.phase == "Running"
        status = p.status.containerStatuses[0]
        assert status.restartCount == 1
        assert (
            status.state.waiting.message
            == f"back-off 10s restarting failed container=c pod=p_default({p.metadata.uid})"
        )
        assert (status.lastState.terminated.reason, status.lastState.terminated.exitCode) == ("Error", 1)
        begun = w.clock.now()
        starts = []
        for _ in range(1500):
            await w.pass_time(1)
            count = w.client.pod("p").status.containerStatuses[0].restartCount
            if count > len(starts) + 1:
                starts.append(round(w.clock.now() - begun))
        waits = [b - a for a, b in zip([0, *starts], starts, strict=False)]
        assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


async def test_ten_quiet_minutes_reset_the_back_off(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p"))
        for _ in range(3):
            w.runtime().crash("default", "p", "c")
            await w.settle()
            await w.pass_time(45)
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 3
        await w.pass_time(650)
        w.runtime().crash("default", "p", "c")
        await w.settle()
        assert state_of(w.client.pod("p")) == ("running", "")
        assert w.client.pod("p").status.containerStatuses[0].restartCount == 4


async def test_out_of_memory_shows_as_such(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"oom-after": "5"}, restartPolicy="Never"))
        await w.pass_time(6)
        p = w.client.pod("p")
        ended = p.status.containerStatuses[0].state.terminated
        assert (p.status.phase, ended.reason, ended.exitCode) == ("Failed", "OOMKilled", 137)


async def test_a_failed_container_may_show_the_end_of_its_log(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        script = ["sh", "-c", "echo no such table; exit 1"]
        c = container("c", "busybox", command=script, terminationMessagePolicy="FallbackToLogsOnError")
        p = await w.run(pod("p", c, restartPolicy="Never"))
        assert p.status.containerStatuses[0].state.terminated.message == "no such table\n"


async def test_a_termination_message_is_shown(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        notes = {"exit-code": "1", "termination-message": "out of cheese"}
        p = await w.run(pod("p", annotations=notes, restartPolicy="Never"))
        assert p.status.containerStatuses[0].state.terminated.message == "out of cheese"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Never", "0", "Succeeded"),
        ("Never", "3", "Failed"),
        ("OnFailure", "0", "Succeeded"),
        ("OnFailure", "3", "Running"),
        ("Always", "0", "Running"),
    ],
)
async def test_the_restart_policy_decides_what_an_exit_means(
    tmp_path: Path, policy: str, code: str, phase: str
) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", annotations={"exit-code": code, "exit-after": "1"}, restartPolicy=policy))
        await w.pass_time(2)
        p = w.client.pod("p")
        assert p.status.phase == phase
        assert p.status.containerStatuses[0].restartCount == (0 if phase != "Running" else 1)
        if phase == "Succeeded":
            assert condition(p, "Ready").reason == "PodCompleted"
        if phase == "Failed":
            assert condition(p, "Ready").reason == "PodFailed"


@pytest.mark.parametrize(
    ("image", "command", "phase", "code"),
    [
        ("busybox", ["sh", "-c", "exit 3"], "Failed", 3),
        ("busybox", ["echo", "hi"], "Succeeded", 0),
        ("busybox", ["sleep", "5"], "Succeeded", 0),
        ("alpine:3", ["/bin/sh", "-c", "sleep 2 && false"], "Failed", 1),
        ("perl:5", ["perl", "-Mbignum=bpi", "-wle", "print bpi(2000)"], "Succeeded", 0),
        ("busybox", None, "Succeeded", 0),
        ("nginx", None, "Running", None),
        ("busybox", ["sh", "-c", "while true; do date; sleep 1; done"], "Running", None),
    ],
)
async def test_commands_of_jobs_do_what_they_say(
    tmp_path: Path, image: str, command: list[str] | None, phase: str, code: int | None
) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", container("c", image, command=command), restartPolicy="Never"))
        await w.pass_time(10)
        p = w.client.pod("p")
        ended = p.status.containerStatuses[0].state.terminated
        assert (p.status.phase, ended.exitCode if ended else None) == (phase, code)


async def test_a_pod_past_its_deadline_fails(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.run(pod("p", activeDeadlineSeconds=30))
        await w.pass_time(29)
        assert w.client.pod("p").status.phase == "Running"
        await w.pass_time(2)
        p = w.client.pod("p")
        assert (p.status.phase, p.status.reason) == ("Failed", "DeadlineExceeded")
        assert p.status.message == "Pod was active on the node longer than the specified deadline"
        assert state_of(p)[0] == "terminated"
