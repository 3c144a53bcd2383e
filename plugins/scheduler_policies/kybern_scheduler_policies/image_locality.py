"""ImageLocality: prefers nodes that have the pod's images already, the more and larger the better."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.scheduler.nodeinfo import NodeInfo
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import MAX_SCORE, SKIP, CycleState, Hint, Policy, Status
from kybern.scheduler.snapshot import Candidates

MEGABYTE = 1024 * 1024
LEAST = 23 * MEGABYTE
"""Images smaller than this together are pulled quickly anyway."""
MOST_PER_IMAGE = 1000 * MEGABYTE


class ImageLocality(Policy):
    """Scores by the size of images that need not be pulled.

    An image counts by the share of nodes that have it, so that pods do not all run after the first one."""

    name = "ImageLocality"
    default = True

    def hints(self) -> Iterable[Hint]:
        """It rejects nobody."""
        return ()

    def pre_score(self, state: CycleState, pod: PodInfo, infos: Candidates) -> Status | None:
        """All nodes are equal while no node has any of the images."""
        snapshot = self.handle.snapshot
        names = [tagged(name) for name in _images(pod.pod)]
        total = len(snapshot.nodes)
        shares = [(n, snapshot.image_nodes[n] / total) for n in names if n in snapshot.image_nodes]
        if not shares:
            return SKIP
        state.data[self.name] = (shares, len(names))
        return None

    def score(self, state: CycleState, pod: PodInfo, info: NodeInfo) -> int:
        """Between nothing and a gigabyte per image."""
        shares: list[tuple[str, float]]
        images: int
        shares, images = state.data[self.name]
        size = sum(int(info.images[name] * share) for name, share in shares if name in info.images)
        most = MOST_PER_IMAGE * images
        return MAX_SCORE * (min(max(size, LEAST), most) - LEAST) // (most - LEAST)


def _images(pod: Any) -> Iterable[str]:
    spec = pod.spec
    for container in (*(spec.initContainers or ()), *(spec.containers or ())):
        yield container.image or ""
    for volume in spec.volumes or ():
        if volume.image is not None:
            yield volume.image.reference or ""


def tagged(image: str) -> str:
    """The image as nodes report it: with `:latest` when it has neither tag nor digest."""
    return image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
