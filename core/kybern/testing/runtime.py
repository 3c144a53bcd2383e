"""The contract suite of the `kybern_runtime` seam.

    class TestMyRuntime(RuntimeContract):
        async def make(self, state_dir, clock):
            return MyDriver("node-1", clock, MyOptions(), state_dir)

Every runtime must pass it as it is. The class attributes name images and commands that the
runtime's machine can run; `pass_time` lets a suite on a virtual clock move it. The suite needs
pytest and anyio's plugin, which `kybern.testing` brings along.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from kybern.clock import Clock, SystemClock, VirtualClock
from kybern.node.runtime import (
    ContainerConfig,
    ContainerState,
    ContainerStatus,
    LogLine,
    PodSandboxConfig,
    RuntimeDriver,
    RuntimeFault,
    SandboxState,
)

__all__ = ["RuntimeContract"]

_uids = itertools.count(1)


class RuntimeContract:
    """Subclass it as `Test...` and give it `make`."""

    image = "docker.io/library/busybox:1.36"
    missing_image = "docker.io/library/busybox:does-not-exist"
    run: Sequence[str] = ("sleep", "3600")
    """Runs long."""
    patience = 10.0
    """Seconds until what must happen has happened."""

    async def make(self, state_dir: Path, clock: Clock) -> RuntimeDriver:
        """A driver, not started. Called again for the same directory, it stands for a restarted agent."""
        raise NotImplementedError

    def make_clock(self) -> Clock:
        """The clock to test with."""
        return SystemClock()

    def exits(self, code: int, says: str = "") -> Sequence[str]:
        """A command that writes a line and ends with a code."""
        return ("sh", "-c", f"echo {says}; exit {code}" if says else f"exit {code}")

    async def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let time pass."""
        if isinstance(clock, VirtualClock):
            await clock.advance(seconds)
        else:
            await clock.sleep(seconds)

    @pytest.fixture
    async def driver(self, tmp_path: Path) -> AsyncIterator[RuntimeDriver]:
        """A started driver with the image on board; its pods are gone afterwards."""
        driver = await self.make(tmp_path, self.make_clock())
        await driver.start()
        try:
            await driver.runtime.update_runtime_config("10.89.7.0/24")
            await driver.images.pull_image(self.image)
            yield driver
        finally:
            for sandbox in await driver.runtime.list_pod_sandboxes():
                await driver.runtime.remove_pod_sandbox(sandbox.id)
            await driver.close()

    async def eventually(self, driver: RuntimeDriver, done: Callable[[], Awaitable[bool]]) -> None:
        """Let time pass until it is so."""
        for _ in range(int(self.patience / 0.1)):
            if await done():
                return
            await self.pass_time(driver.clock, 0.1)
        raise AssertionError(f"not so within {self.patience} seconds")

    def sandbox_config(self, name: str = "web", attempt: int = 0, uid: str = "") -> PodSandboxConfig:
        """A pod of its own."""
        uid = uid or f"contract-{next(_uids)}"
        labels = {"app": name, "io.kubernetes.pod.uid": uid}
        return PodSandboxConfig(
            name=name,
            namespace="default",
            uid=uid,
            attempt=attempt,
            hostname=name,
            labels=labels,
            annotations={"a": "b"},
        )

    async def start(
        self,
        driver: RuntimeDriver,
        config: PodSandboxConfig,
        command: Sequence[str] = (),
        name: str = "c",
        attempt: int = 0,
    ) -> str:
        """Start a container in the pod's sandbox, making the sandbox if need be; the container's id."""
        ready = [s for s in await driver.runtime.list_pod_sandboxes(config.uid) if s.state is SandboxState.READY]
        sandbox_id = ready[0].id if ready else await driver.runtime.run_pod_sandbox(config)
        image = await driver.images.image_status(self.image)
        assert image is not None
        wanted = ContainerConfig(
            name=name,
            image=image.id,
            user_image=self.image,
            attempt=attempt,
            command=command or self.run,
            labels={"l": "1", "io.kubernetes.pod.uid": config.uid},
            annotations={"k": "v"},
            log_path=f"{name}/{attempt}.log",
        )
        container_id = await driver.runtime.create_container(sandbox_id, wanted, config)
        await driver.runtime.start_container(container_id)
        return container_id

    async def ended(self, driver: RuntimeDriver, container_id: str) -> ContainerStatus:
        """Its status, once it has exited."""

        async def exited() -> bool:
            return (await driver.runtime.container_status(container_id)).state is ContainerState.EXITED

        await self.eventually(driver, exited)
        return await driver.runtime.container_status(container_id)

    @pytest.mark.anyio
    async def test_it_tells_its_name_and_health(self, driver: RuntimeDriver) -> None:
        version, status = await driver.runtime.version(), await driver.runtime.status()
        assert version.runtime_name
        assert {c.type for c in status.conditions} >= {"RuntimeReady", "NetworkReady"}
        assert all(c.status for c in status.conditions)

    @pytest.mark.anyio
    async def test_a_sandbox_is_listed_until_it_is_removed(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        sandbox_id = await driver.runtime.run_pod_sandbox(config)
        (sandbox,) = await driver.runtime.list_pod_sandboxes(config.uid)
        assert (sandbox.id, sandbox.name, sandbox.namespace, sandbox.uid, sandbox.attempt) == (
            sandbox_id, "web", "default", config.uid, 0,
        )  # fmt: skip
        assert sandbox.state is SandboxState.READY
        assert len(sandbox.ips) >= 1
        assert sandbox.labels["app"] == "web"
        assert sandbox.annotations["a"] == "b"
        await driver.runtime.stop_pod_sandbox(sandbox_id)
        (stopped,) = await driver.runtime.list_pod_sandboxes(config.uid)
        assert stopped.state is SandboxState.NOTREADY
        await driver.runtime.remove_pod_sandbox(sandbox_id)
        assert list(await driver.runtime.list_pod_sandboxes(config.uid)) == []

    @pytest.mark.anyio
    async def test_sandboxes_have_addresses_of_their_own(self, driver: RuntimeDriver) -> None:
        for name in ("one", "two", "three"):
            await driver.runtime.run_pod_sandbox(self.sandbox_config(name))
        ips = [s.ips[0] for s in await driver.runtime.list_pod_sandboxes()]
        assert len(set(ips)) == 3

    @pytest.mark.anyio
    async def test_the_same_attempt_of_a_sandbox_exists_once(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        await driver.runtime.run_pod_sandbox(config)
        with pytest.raises(RuntimeFault):
            await driver.runtime.run_pod_sandbox(config)

    @pytest.mark.anyio
    async def test_stopping_and_removing_twice_is_harmless(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        container_id = await self.start(driver, config)
        (sandbox,) = await driver.runtime.list_pod_sandboxes(config.uid)
        for _ in range(2):
            await driver.runtime.stop_container(container_id, 0)
        for _ in range(2):
            await driver.runtime.remove_container(container_id)
        for _ in range(2):
            await driver.runtime.stop_pod_sandbox(sandbox.id)
        for _ in range(2):
            await driver.runtime.remove_pod_sandbox(sandbox.id)

    @pytest.mark.anyio
    async def test_a_container_goes_from_created_to_running_to_exited(self, driver: RuntimeDriver) -> None:
        config, runtime = self.sandbox_config(), driver.runtime
        sandbox_id = await runtime.run_pod_sandbox(config)
        image = await driver.images.image_status(self.image)
        assert image is not None
        wanted = ContainerConfig(name="c", image=image.id, user_image=self.image, command=self.run, log_path="c/0.log")
        container_id = await runtime.create_container(sandbox_id, wanted, config)
        assert (await runtime.container_status(container_id)).state is ContainerState.CREATED
        await runtime.start_container(container_id)
        running = await runtime.container_status(container_id)
        assert running.state is ContainerState.RUNNING
        assert running.started_at >= running.created_at > 0
        await runtime.stop_container(container_id, 0)
        exited = await runtime.container_status(container_id)
        assert (exited.state, exited.exit_code) == (ContainerState.EXITED, 137)
        assert exited.finished_at >= exited.started_at

    @pytest.mark.anyio
    @pytest.mark.parametrize(("code", "reason"), [(0, "Completed"), (3, "Error")])
    async def test_an_exit_code_is_kept(self, driver: RuntimeDriver, code: int, reason: str) -> None:
        status = await self.ended(driver, await self.start(driver, self.sandbox_config(), self.exits(code)))
        assert (status.exit_code, status.reason) == (code, reason)

    @pytest.mark.anyio
    async def test_a_program_that_is_not_there_fails_to_start(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        with pytest.raises(RuntimeFault):
            await self.start(driver, config, ("/no-such-program",))
        (status,) = await driver.runtime.pod_containers(config.uid)
        assert (status.state, status.exit_code) == (ContainerState.EXITED, 128)

    @pytest.mark.anyio
    async def test_labels_annotations_and_attempts_are_kept(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        for attempt in range(2):
            await self.ended(driver, await self.start(driver, config, self.exits(0), attempt=attempt))
        newest, oldest = await driver.runtime.pod_containers(config.uid)
        assert (newest.name, newest.attempt, oldest.attempt) == ("c", 1, 0)
        assert newest.labels["l"] == "1"
        assert newest.annotations["k"] == "v"
        listed = await driver.runtime.list_containers(config.uid)
        assert [(c.id, c.attempt, c.state) for c in listed] == [(c.id, c.attempt, c.state) for c in (newest, oldest)]

    @pytest.mark.anyio
    async def test_pods_do_not_see_each_others_containers(self, driver: RuntimeDriver) -> None:
        one, two = self.sandbox_config("one"), self.sandbox_config("two")
        first, second = await self.start(driver, one), await self.start(driver, two)
        assert [c.id for c in await driver.runtime.pod_containers(one.uid)] == [first]
        assert {c.id for c in await driver.runtime.list_containers()} == {first, second}

    @pytest.mark.anyio
    async def test_stopping_a_sandbox_kills_what_runs_in_it(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        container_id = await self.start(driver, config)
        (sandbox,) = await driver.runtime.list_pod_sandboxes(config.uid)
        await driver.runtime.stop_pod_sandbox(sandbox.id)
        assert (await driver.runtime.container_status(container_id)).state is ContainerState.EXITED
        with pytest.raises(RuntimeFault):
            await self.start_in(driver, sandbox.id, config)

    async def start_in(self, driver: RuntimeDriver, sandbox_id: str, config: PodSandboxConfig) -> None:
        """Create a container in a sandbox of any state."""
        wanted = ContainerConfig(
            name="late", image=self.image, user_image=self.image, command=self.run, log_path="late/0.log"
        )
        await driver.runtime.create_container(sandbox_id, wanted, config)

    @pytest.mark.anyio
    async def test_removing_a_sandbox_forgets_its_containers(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        container_id = await self.start(driver, config)
        (sandbox,) = await driver.runtime.list_pod_sandboxes(config.uid)
        await driver.runtime.remove_pod_sandbox(sandbox.id)
        assert list(await driver.runtime.list_containers(config.uid)) == []
        with pytest.raises(RuntimeFault) as fault:
            await driver.runtime.container_status(container_id)
        assert fault.value.code == "NotFound"

    @pytest.mark.anyio
    async def test_logs_are_what_was_written(self, driver: RuntimeDriver) -> None:
        container_id = await self.start(driver, self.sandbox_config(), self.exits(0, "hello"))
        await self.ended(driver, container_id)
        lines: list[LogLine] = [line async for line in await driver.runtime.container_logs(container_id)]
        assert [(line.text, line.stream) for line in lines] == [(b"hello", "stdout")]
        assert lines[0].time > 0

    @pytest.mark.anyio
    async def test_following_a_log_ends_with_the_container(self, driver: RuntimeDriver) -> None:
        container_id = await self.start(driver, self.sandbox_config(), self.exits(0, "hello"))
        await self.ended(driver, container_id)
        lines = [line.text async for line in await driver.runtime.container_logs(container_id, follow=True)]
        assert lines == [b"hello"]

    @pytest.mark.anyio
    async def test_logs_of_no_container_are_not_found(self, driver: RuntimeDriver) -> None:
        with pytest.raises(RuntimeFault) as fault:
            await driver.runtime.container_logs("none")
        assert fault.value.code == "NotFound"

    @pytest.mark.anyio
    async def test_an_image_is_there_after_its_pull_until_it_is_removed(self, driver: RuntimeDriver) -> None:
        image = await driver.images.image_status(self.image)
        assert image is not None
        assert self.image in image.repo_tags
        assert image.id in {i.id for i in await driver.images.list_images()}
        assert await driver.images.pull_image(self.image) == image.id
        await driver.images.remove_image(self.image)
        assert await driver.images.image_status(self.image) is None
        await driver.images.remove_image(self.image)

    @pytest.mark.anyio
    async def test_an_image_that_is_nowhere_cannot_be_pulled(self, driver: RuntimeDriver) -> None:
        with pytest.raises(RuntimeFault) as fault:
            await driver.images.pull_image(self.missing_image)
        assert fault.value.code == "NotFound"
        assert await driver.images.image_status(self.missing_image) is None

    @pytest.mark.anyio
    async def test_use_is_told_of_running_pods_only(self, driver: RuntimeDriver) -> None:
        first, second, over = (self.sandbox_config(name) for name in ("a", "b", "over"))
        for config in (first, second):
            await self.start(driver, config)
        await self.ended(driver, await self.start(driver, over, self.exits(0)))
        used = {u.uid: u for u in await driver.runtime.pod_usage()}
        assert set(used) in (set(), {first.uid, second.uid})
        assert {u.uid for u in await driver.runtime.pod_usage([first.uid])} >= set(used) & {first.uid}
        assert over.uid not in {u.uid for u in await driver.runtime.pod_usage([over.uid, "no-such-pod"])}
        for usage in used.values():
            assert all(cpu >= 0 and memory >= 0 for cpu, memory in usage.containers.values())

    @pytest.mark.anyio
    async def test_changed_annotations_disturb_nothing(self, driver: RuntimeDriver) -> None:
        config = self.sandbox_config()
        container_id = await self.start(driver, config)
        driver.runtime.pod_annotated(config.uid, {"other": "note"})
        driver.runtime.pod_annotated("no-such-pod", {})
        assert (await driver.runtime.container_status(container_id)).state is ContainerState.RUNNING

    @pytest.mark.anyio
    async def test_what_runs_outlives_the_driver(self, driver: RuntimeDriver, tmp_path: Path) -> None:
        config = self.sandbox_config()
        running = await self.start(driver, config)
        ended = await self.start(driver, config, self.exits(4), name="job")
        await self.ended(driver, ended)
        before = await driver.runtime.list_pod_sandboxes(config.uid)
        await driver.close()
        again = await self.make(tmp_path, driver.clock)
        await again.start()
        try:
            assert list(await again.runtime.list_pod_sandboxes(config.uid)) == list(before)
            states = {c.id: (c.state, c.exit_code) for c in await again.runtime.pod_containers(config.uid)}
            assert states == {running: (ContainerState.RUNNING, 0), ended: (ContainerState.EXITED, 4)}
            assert await again.images.image_status(self.image) is not None
            await again.runtime.stop_container(running, 0)
        finally:
            await again.close()
            await driver.start()
