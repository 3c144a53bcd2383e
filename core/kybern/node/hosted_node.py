"""One node of an agent: its runtime, its Node object and lease, and the workers of its pods."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kybern.node.admit import Refusal, Used, admit, admit_resize, granted_requests
from kybern.node.backoff import Backoff
from kybern.node.config import NodeConfig
from kybern.node.env import Facts, container_env
from kybern.node.image_puller import ImagePuller
from kybern.node.pod_runtime import PodRuntime
from kybern.node.pod_worker import PodWorker
from kybern.node.probe import NetworkProber, Prober, Target
from kybern.node.runtime import ContainerEvent, ContainerStatus, MachineInfo, PodSandbox, RuntimeDriver, Version
from kybern.node.volumes import missing_volume, unattached_volumes

if TYPE_CHECKING:
    from kybern.node.agent import NodeAgent

__all__ = ["HostedNode"]

log = logging.getLogger(__name__)


class HostedNode:
    """Made by the agent for each NodeConfig; `alive` between `start` and `stop`."""

    __slots__ = (
        "_recorder", "_waiting_for_cidr", "agent", "alive", "clock", "config", "driver", "host_ips", "lease",
        "machine", "memory", "object", "pressure", "prober", "puller", "registered", "reported", "reported_at",
        "restart_backoff", "serving", "shutting_down", "timers", "told_cidr", "used", "version", "workers",
    )  # fmt: skip

    def __init__(self, agent: NodeAgent, config: NodeConfig, driver: RuntimeDriver) -> None:
        self.agent = agent
        self.clock = agent.clock
        self.config = config
        self.driver = driver
        self.alive = False
        self.serving = False
        """It knows what runs already, and takes pods."""
        self.machine = MachineInfo()
        self.version = Version("unknown", "")
        self.object: Any = None
        """The newest Node object seen."""
        self.registered = False
        """There is a Node object of ours; somebody may delete it."""
        self.lease: Any = None
        self.reported: Any = None
        """What the last written status amounted to."""
        self.reported_at = 0.0
        self.pressure: dict[str, float] = {}
        """Conditions in force (MemoryPressure, DiskPressure, PIDPressure) and until when they last at least."""
        self.memory: tuple[int, float, bool] = (0, 0.0, False)
        """Seen at the last beat: how many pods use some, how much is left, and whether that was news."""
        self.shutting_down = False
        self.host_ips: tuple[str, ...] = (config.internal_ip,) if config.internal_ip else ()
        self.used = Used()
        self.workers: dict[str, PodWorker] = {}
        self.restart_backoff = Backoff(agent.config.restart_backoff, agent.config.restart_backoff_max)
        self.timers: dict[str, Any] = {}
        self.prober: Prober
        self.puller: ImagePuller
        self._recorder: Any = None
        self._waiting_for_cidr = 0.0
        self.told_cidr = ""
        """The pod range that the runtime knows of."""

    @property
    def runtime(self) -> Any:
        """The node's Runtime."""
        return self.driver.runtime

    @property
    def name(self) -> str:
        """The Node's name."""
        return self.config.name

    @property
    def pulse(self) -> str:
        """Its sign of life: the Lease."""
        return f"kube-node-lease/{self.name}"

    @property
    def runtime_name(self) -> str:
        """As in `containerd://`."""
        return self.version.runtime_name

    def jitter(self, what: str) -> float:
        """A fixed number in [0, 1) of this node's own, so that thousands of nodes do not act in step."""
        return zlib.crc32(f"{self.name}/{what}".encode()) / 2**32

    async def start(self) -> None:
        """Connect to the runtime. Raises RuntimeFault when it does not answer."""
        await self.driver.start()
        self.machine = await self.driver.machine()
        self.version = await self.runtime.version()
        self.prober = self.driver.prober() or NetworkProber(self.runtime, self.clock)
        images = Backoff(self.agent.config.image_backoff, self.agent.config.image_backoff_max)
        self.puller = ImagePuller(self.driver.images, images, self.agent.sources, self.clock, lambda: None)
        self.alive = True

    async def stop(self) -> None:
        """Let go; what runs keeps running."""
        self.alive = self.serving = False
        self.clock.end_pulse(self.pulse)
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()
        self.used = Used()
        await self.driver.close()

    # Pods

    def pod_changed(self, pod: Any) -> None:
        """A pod of this node is new or changed."""
        worker = self.workers.get(pod.metadata.uid)
        if worker is not None:
            self.agent.deliver(worker, pod)
            return
        worker = self.workers[pod.metadata.uid] = PodWorker(self, pod)
        if pod.metadata.deletionTimestamp:
            worker.update(pod)
        else:
            worker.kick()

    def pod_removed(self, pod: Any) -> None:
        """A pod of this node is gone from the API."""
        if worker := self.workers.get(pod.metadata.uid):
            worker.remove()

    def runtime_event(self, event: ContainerEvent) -> None:
        """Something happened in the runtime."""
        if worker := self.workers.get(event.pod_uid):
            worker.kick()

    def forget(self, worker: PodWorker) -> None:
        """Nothing of the pod is left."""
        self.workers.pop(worker.uid, None)
        for container in worker.pod.spec.containers:
            self.restart_backoff.forget((worker.uid, container.name))
            self.puller.forget((worker.uid, container.image))
        for container in worker.pod.spec.initContainers or ():
            self.restart_backoff.forget((worker.uid, container.name))
            self.puller.forget((worker.uid, container.image))

    def admit(self, worker: PodWorker) -> Refusal | None:
        """Take the pod, or say why not."""
        if self.shutting_down:
            return Refusal("NodeShutdown", "Pod was rejected as the node is shutting down.")
        system = self.machine.operating_system
        refusal = admit(worker.pod, self.object, self.used, operating_system=system, pressure=self.pressure)
        if refusal is None:
            self.used.add(worker.pod)
        return refusal

    def readmit(self, pod: Any) -> None:
        """Count a pod that runs here already, with what it was granted."""
        self.used.add(pod, granted_requests(pod))

    async def recover(self, pods: Sequence[Any]) -> None:
        """Before any pod is looked at after a start: count all that run."""
        running = {sandbox.uid for sandbox in await self.runtime.list_pod_sandboxes()}
        for pod in pods:
            if pod.metadata.uid in running and pod.status.phase not in ("Succeeded", "Failed"):
                self.readmit(pod)

    def admit_resize(self, worker: PodWorker) -> Refusal | None:
        """Grant a running pod what its spec asks for now, or say why not."""
        refusal = admit_resize(worker.pod, self.object, self.used)
        if refusal is None:
            self.used.replace(worker.pod)
        return refusal

    def release(self, worker: PodWorker) -> None:
        """The pod takes nothing any more."""
        self.used.remove(worker.uid)

    def mark(self, worker: PodWorker) -> None:
        """The pod's status may have changed."""
        if self.alive:
            self.agent.statuses.mark(worker)

    def spawn(self, work: Coroutine[Any, Any, None]) -> Any:
        """Run something in the agent's task group."""
        return self.agent.spawn(work)

    # What pods need to know

    @property
    def pod_cidr(self) -> str:
        """The node's pod range, comma-separated when dual-stack; "" until it has one."""
        spec = self.object.spec if self.object is not None else None
        return ",".join((spec.podCIDRs or ([spec.podCIDR] if spec.podCIDR else [])) if spec is not None else [])

    def network_wait(self) -> float:
        """Seconds until pods get addresses whatever happens; 0 when they can now, as the node has its range.
        The range may come earlier, and wakes them."""
        if self.pod_cidr:
            return 0.0
        now = self.clock.monotonic()
        if not self._waiting_for_cidr:
            self._waiting_for_cidr = now or 1e-9
        return max(self._waiting_for_cidr + self.agent.config.pod_cidr_timeout - now, 0.0)

    def runtime_handler(self, pod: Any) -> str:
        """The RuntimeClass's handler name."""
        return self.agent.runtime_handler(pod.spec.runtimeClassName or "")

    async def missing_volume(self, pod: Any) -> str:
        """What keeps the pod's volumes from being set up."""
        return await missing_volume(pod, self.agent.sources) if pod.spec.volumes else ""

    async def unattached_volumes(self, pod: Any) -> list[str]:
        """The pod's claims whose volumes the node waits for."""
        if not pod.spec.volumes:
            return []
        return await unattached_volumes(pod, self.object, self.driver.csi_drivers, self.agent.sources)

    def volumes_attached(self) -> None:
        """The node has other volumes than before: pods may have waited for them."""
        for worker in self.workers.values():
            if worker.volumes.waits_for_attachment:
                worker.kick()

    async def container_env(self, pod: Any, container: Any, sandbox: PodSandbox) -> Mapping[str, str]:
        """The container's environment; raises ConfigProblem."""
        ips = tuple(sandbox.ips) or (self.host_ips if pod.spec.hostNetwork else ())
        facts = Facts(self.name, self.host_ips, ips, self.object.status.allocatable or {})
        services = self.agent.service_env(pod.metadata.namespace, pod.spec.enableServiceLinks is not False)
        return await container_env(pod, container, facts, self.agent.sources, services)

    def target(self, pod: Any, container: Any, status: ContainerStatus, known: PodRuntime) -> Target:
        """Whom a probe or hook asks."""
        ips = known.sandbox.ips if known.sandbox is not None else ()
        return Target(pod, container, status, (ips or self.host_ips or ("127.0.0.1",))[0])

    # What people hear

    def tell(self, pod: Any, type: str, reason: str, message: str, container: str = "") -> None:
        """Record an event about a pod, or about one of its containers."""
        if not self.agent.may_tell(type):
            return
        if self._recorder is None:
            self._recorder = self.agent.recorder(self.name)
        self._recorder.event(_part(pod, container) if container else pod, type, reason, message)

    def tell_node(self, type: str, reason: str, message: str) -> None:
        """Record an event about the node."""
        if self.object is None or not self.agent.may_tell(type):
            return
        if self._recorder is None:
            self._recorder = self.agent.recorder(self.name)
        self._recorder.event(self.object, type, reason, message)


def _part(pod: Any, container: str) -> Any:
    """A reference to one container of a pod."""
    from kybern.api.core import ObjectReference

    spec = pod.spec
    for field in ("containers", "initContainers", "ephemeralContainers"):
        if any(c.name == container for c in getattr(spec, field) or ()):
            path = f"spec.{field}{{{container}}}"
            break
    else:
        path = f"spec.containers{{{container}}}"
    metadata = pod.metadata
    return ObjectReference(
        apiVersion="v1", kind="Pod", name=metadata.name, namespace=metadata.namespace, uid=metadata.uid,
        resourceVersion=metadata.resourceVersion, fieldPath=path,
    )  # fmt: skip
