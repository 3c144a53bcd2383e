"""The scheduling seam: `Policy`, one opinion on where a pod may or should run.

A policy mirrors a plugin of Kubernetes' scheduling framework: it takes part in any of the extension
points below by overriding the method of that name, and the scheduler calls only what is overridden.
The order of a pod's way is

    pre_enqueue -> (queue) -> pre_filter -> filter -> [post_filter when no node is left]
    -> pre_score -> score -> normalize -> reserve -> permit -> pre_bind -> bind -> post_bind

Everything up to `permit` is plain code that runs without a break, so a policy sees one consistent
`Snapshot`; `pre_bind` and `bind` are coroutines that run beside the next pod's cycle.

Filter and score come in two forms. The per-node form is the definition and is always needed. The
form over all nodes (`filter_all`, `score_all`) is an optional shortcut on the snapshot's numpy
columns; it must give the same answers, and `kybern.testing.policy` checks that it does.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    import numpy as np

    from kybern.client.interface import Client
    from kybern.clock import Clock
    from kybern.reconcile.interface import EventRecorder, Informer
    from kybern.scheduler.nodeinfo import NodeInfo
    from kybern.scheduler.nominator import Nominator
    from kybern.scheduler.podinfo import PodInfo
    from kybern.scheduler.snapshot import Candidates, Snapshot

    Ints = np.ndarray[Any, np.dtype[np.int64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

__all__ = [
    "MAX_SCORE",
    "SKIP",
    "Action",
    "ClusterEvent",
    "Code",
    "CycleState",
    "Handle",
    "Hint",
    "Nomination",
    "Policy",
    "Resource",
    "Status",
    "normalized",
]

MAX_SCORE = 100
"""The best score of a node; the worst is 0."""


class Code(enum.Enum):
    """Why a policy did not simply agree. (Agreement is None instead of a Status.)"""

    ERROR = "Error"
    """The policy failed; the pod is tried again with back-off."""
    UNSCHEDULABLE = "Unschedulable"
    """Not now; removing other pods might help, so preemption may try."""
    UNRESOLVABLE = "UnschedulableAndUnresolvable"
    """Not now, and removing pods from this node would not help."""
    PENDING = "Pending"
    """Schedulable, but something outside must happen first; no back-off when it does."""
    WAIT = "Wait"
    """From `permit` only: hold the pod before binding."""
    SKIP = "Skip"
    """The pod does not concern the policy: its filter or score is not asked in this cycle. From `bind`: another may."""


@attrs.frozen
class Status:
    """A policy's objection. `reasons` are counted over nodes in the FailedScheduling event."""

    code: Code
    reasons: tuple[str, ...] = ()
    policy: str = ""
    timeout: float = 0.0
    """Seconds that a WAIT lasts before the pod is rejected."""

    @property
    def rejected(self) -> bool:
        """Whether the pod was turned down, as opposed to an error."""
        return self.code in (Code.UNSCHEDULABLE, Code.UNRESOLVABLE, Code.PENDING)

    @property
    def message(self) -> str:
        """All reasons in one line."""
        return ", ".join(self.reasons)


SKIP = Status(Code.SKIP)


class Resource(enum.StrEnum):
    """What kind of object a cluster event is about."""

    ASSIGNED_POD = "AssignedPod"
    """A pod that has a node."""
    TARGET_POD = "TargetPod"
    """The unschedulable pod itself."""
    NODE = "Node"
    PVC = "PersistentVolumeClaim"
    PV = "PersistentVolume"
    STORAGE_CLASS = "storage.k8s.io/StorageClass"
    CSI_NODE = "storage.k8s.io/CSINode"
    CSI_DRIVER = "storage.k8s.io/CSIDriver"
    CSI_STORAGE_CAPACITY = "storage.k8s.io/CSIStorageCapacity"
    DEVICE_CLASS = "resource.k8s.io/DeviceClass"
    NAMESPACE = "Namespace"
    ANY = "*"


class Action(enum.IntFlag):
    """What happened to it. Updates are told apart by what changed."""

    ADD = enum.auto()
    DELETE = enum.auto()
    UPDATE_NODE_ALLOCATABLE = enum.auto()
    UPDATE_NODE_LABEL = enum.auto()
    UPDATE_NODE_TAINT = enum.auto()
    """Taints, or `spec.unschedulable`."""
    UPDATE_NODE_CONDITION = enum.auto()
    UPDATE_NODE_ANNOTATION = enum.auto()
    UPDATE_POD_LABEL = enum.auto()
    UPDATE_POD_SCALE_DOWN = enum.auto()
    """Requests shrank."""
    UPDATE_POD_SCALE_UP = enum.auto()
    UPDATE_POD_TOLERATION = enum.auto()
    UPDATE_POD_GATES_ELIMINATED = enum.auto()
    """The last scheduling gate was removed."""
    UPDATE_POD_GENERATED_CLAIM = enum.auto()
    """A ResourceClaim was made for the pod, and its status says so."""
    UPDATE_OTHER = enum.auto()
    UPDATE = (
        UPDATE_NODE_ALLOCATABLE
        | UPDATE_NODE_LABEL
        | UPDATE_NODE_TAINT
        | UPDATE_NODE_CONDITION
        | UPDATE_NODE_ANNOTATION
        | UPDATE_POD_LABEL
        | UPDATE_POD_SCALE_DOWN
        | UPDATE_POD_SCALE_UP
        | UPDATE_POD_TOLERATION
        | UPDATE_POD_GATES_ELIMINATED
        | UPDATE_POD_GENERATED_CLAIM
        | UPDATE_OTHER
    )
    ALL = ADD | DELETE | UPDATE


class ClusterEvent(NamedTuple):
    """A change that may make a rejected pod schedulable."""

    resource: Resource
    action: Action

    def covers(self, happened: ClusterEvent) -> bool:
        """Whether an interest in this event is an interest in what happened."""
        if self.resource not in (Resource.ANY, happened.resource):
            return False
        return bool(self.action & happened.action)


@attrs.frozen
class Hint:
    """An event a policy wants to be woken by: pods that the policy rejected are queued again when it happens."""

    resource: Resource
    action: Action
    wants: Callable[[PodInfo, Any, Any], bool] | None = None
    """(rejected pod, old object or None, new object or None): whether it can help. None: always. For ASSIGNED_POD
    and TARGET_POD the objects are Pods."""

    @property
    def event(self) -> ClusterEvent:
        """The event without the question."""
        return ClusterEvent(self.resource, self.action)


@attrs.frozen
class Nomination:
    """What `post_filter` found: the node that the pod should get once it is free ("": none, forget an earlier one)."""

    node: str


class CycleState:
    """What policies remember of one pod between extension points of one cycle, by policy name.

    `clone` serves what-if questions (preemption, nominated pods): values with a `clone` method are
    cloned, others are shared and must not be changed by `add_pod` and `remove_pod`.
    """

    __slots__ = ("data", "skip_filter", "skip_score")

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.skip_filter: set[str] = set()
        self.skip_score: set[str] = set()

    def clone(self) -> CycleState:
        """A copy that may be changed without trace."""
        copy = CycleState()
        copy.data = {name: v.clone() if hasattr(v, "clone") else v for name, v in self.data.items()}
        copy.skip_filter = self.skip_filter
        copy.skip_score = self.skip_score
        return copy


class Filters(Protocol):
    """The what-if questions a policy may ask of all filters of its profile."""

    def filter_with_nominated(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """The first objection to the pod on this node, also counting pods nominated to it."""

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """As if `other` ran on the node: changes `state` and `info`, which must be clones."""

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """As if `other` had left the node."""


class Handle(ABC):
    """What the scheduler offers its policies."""

    client: Client
    clock: Clock
    events: EventRecorder
    snapshot: Snapshot
    nominator: Nominator
    random: Random
    """The scheduler's seeded source of chance; use no other."""
    filters: Filters

    @abstractmethod
    def informer(self, kind: type[Any]) -> Informer[Any]:
        """The shared informer of a kind. Ask in `__init__`, so that it is synced before the first pod."""

    @abstractmethod
    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the scheduling loop; it is cancelled when the scheduler stops."""

    @abstractmethod
    def activate(self, uid: str) -> None:
        """Try the pod with this uid again now, if it waits in the queue."""

    @abstractmethod
    def reject_waiting(self, uid: str, policy: str, message: str) -> bool:
        """Turn down a pod that waits on `permit`; False when none does."""

    @abstractmethod
    def allow_waiting(self, uid: str, policy: str) -> bool:
        """Let a pod that waits on `permit` go on, as far as this policy is concerned; False when none does."""


class Policy:
    """One opinion in scheduling. Override the extension points it has an opinion at."""

    name: ClassVar[str]
    """As profiles name it: `NodeResourcesFit`. Unique."""
    weight: ClassVar[int] = 1
    """How much its scores count when the profile says nothing."""
    default: ClassVar[bool] = False
    """Whether it takes part in a profile that does not mention it."""

    def __init__(self, args: Mapping[str, Any], handle: Handle) -> None:
        """`args` is the profile's `pluginConfig` for this policy; raise ValueError for what it cannot mean."""
        self.handle = handle

    def hints(self) -> Iterable[Hint]:
        """Events that may make a pod schedulable which this policy rejected. Without any, every event does."""
        return (Hint(Resource.ANY, Action.ALL),)

    def sort_key(self, pod: PodInfo, queued_at: float) -> Any:
        """The queue's order: the pod with the smallest key goes first. One policy per profile set defines it."""
        return queued_at

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """Keep a pod out of the queue until one of `hints()` happens."""
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> set[str] | Status | None:
        """Prepare `state` for the filter. A set restricts the search to nodes of these names; SKIP leaves the
        filter out of this cycle; another Status rejects the pod on all nodes."""
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """Adjust what `pre_filter` prepared, as if `other` ran on the node."""

    def remove_pod(self, state: CycleState, pod: PodInfo, other: PodInfo, info: NodeInfo) -> None:
        """Adjust what `pre_filter` prepared, as if `other` had left the node."""

    def filter(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> Status | None:
        """Whether the pod can run on the node."""
        return None

    def filter_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Mask | None:
        """The nodes, by row, on which `filter` would not object; None when that is all of them."""
        raise NotImplementedError

    def alike(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Ints | None:
        """Optional, beside `filter_all`: a number for every row, so that nodes with equal numbers get equal objections
        from `filter`, if any; None when there is only one objection. Spares asking every node why none was left."""
        raise NotImplementedError

    def post_filter(
        self, state: CycleState, pod: PodInfo, statuses: Mapping[str, Status], absent: Status
    ) -> tuple[Nomination | None, Status | None]:
        """No node was left. `statuses` are the objections by node name, `absent` the one of nodes that are not in it.
        The first policy that answers without a Status has made room; its Nomination is written to the pod."""
        return None, None

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """Prepare `state` for scoring the nodes that are left: a sequence of NodeInfo, with their `rows`.
        SKIP: all are equal to this policy."""
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """How good the node is; 0 to MAX_SCORE after `normalize`."""
        return 0

    def score_all(self, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: Ints) -> Ints:
        """`score` of the nodes in these rows."""
        raise NotImplementedError

    def normalize(self, state: CycleState, pod: PodInfo, infos: Candidates, scores: Any) -> Any:
        """Bring the scores (a list, or an int64 array from `score_all`) of these nodes into 0 to MAX_SCORE."""
        return scores

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """The pod will go to this node: take what it needs. Any Status undoes all reservations."""
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Give back what `reserve` took; also called when it was never asked or had failed. Must not fail."""

    def permit(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """The last word before binding: reject, or WAIT with a timeout until `Handle.allow_waiting`."""
        return None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Do what must be done before the pod may start there (provision a volume)."""
        return None

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Write the binding. SKIP leaves it to the next policy."""
        return SKIP

    def post_bind(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """The pod is bound."""

    def unschedulable(self, *reasons: str) -> Status:
        """An objection that preemption might remove."""
        return _status(Code.UNSCHEDULABLE, reasons, self.name)

    def unresolvable(self, *reasons: str) -> Status:
        """An objection that preemption cannot remove."""
        return _status(Code.UNRESOLVABLE, reasons, self.name)


@lru_cache(maxsize=1024)
def _status(code: Code, reasons: tuple[str, ...], policy: str) -> Status:
    return Status(code, reasons, policy)


def normalized(scores: Any, *, reverse: bool = False) -> Any:
    """Scores stretched so that the highest becomes MAX_SCORE (reversed: 0); for lists and arrays."""
    if isinstance(scores, list):
        highest = max(scores, default=0)
        if highest == 0:
            return [MAX_SCORE if reverse else s for s in scores]
        scaled = [MAX_SCORE * s // highest for s in scores]
        return [MAX_SCORE - s for s in scaled] if reverse else scaled
    highest = int(scores.max()) if len(scores) else 0
    if highest == 0:
        return scores + MAX_SCORE if reverse else scores
    scaled = scores * MAX_SCORE // highest
    return MAX_SCORE - scaled if reverse else scaled
