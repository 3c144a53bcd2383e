"""Makes sure that a container's image is on the node: pull policy, credentials, back-off, events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kybern.clock import Clock
from kybern.node.backoff import Backoff
from kybern.node.runtime import Images, PodSandboxConfig, RuntimeFault
from kybern.node.sources import Sources

__all__ = ["ImageProblem", "ImagePuller"]

Tell = Callable[[str, str, str], None]
_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/|\[[0-9a-f:]+\](?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]{32,})?\Z"
)


class ImageProblem(Exception):
    """The container must wait. `retry_after`: seconds until another try makes sense."""

    def __init__(self, reason: str, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class ImagePuller:
    """Pulls for the pods of one node."""

    def __init__(
        self, images: Images, backoff: Backoff, sources: Sources, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """`changed` is called when the set of images may have changed."""
        self._images = images
        self._backoff = backoff
        self._sources = sources
        self._clock = clock
        self._changed = changed
        self._errors: dict[Any, str] = {}

    async def ensure(self, pod: Any, container: Any, sandbox: PodSandboxConfig, tell: Tell) -> str:
        """The image's id for `create_container`; raises ImageProblem. `tell(type, reason, message)` records events."""
        image = container.image or ""
        if not _REFERENCE.match(image):
            why = f'couldn\'t parse image name "{image}": invalid reference format'
            message = f'Failed to apply default image tag "{image}": {why}'
            tell("Warning", "InspectFailed", message)
            raise ImageProblem("InvalidImageName", message, self._backoff.longest)
        policy = container.imagePullPolicy or "IfNotPresent"
        try:
            present = await self._images.image_status(image)
        except RuntimeFault as fault:
            message = f'Failed to inspect image "{image}": {fault}'
            tell("Warning", "InspectFailed", message)
            raise ImageProblem("ImageInspectError", message, self._backoff.initial) from None
        if present is not None and policy != "Always":
            tell(
                "Normal",
                "Pulled",
                f'Container image "{image}" already present on machine and can be accessed by the pod',
            )
            return present.id
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageProblem("ErrImageNeverPull", message, self._backoff.longest)
        return await self._pull(pod, image, sandbox, tell)

    async def _pull(self, pod: Any, image: str, sandbox: PodSandboxConfig, tell: Tell) -> str:
        key = (pod.metadata.uid, image)
        now = self._clock.now()
        last = self._backoff.last(key)
        if (left := self._backoff.remaining(key, last, now)) > 0:
            tell("Normal", "BackOff", f'Back-off pulling image "{image}"')
            message = f'Back-off pulling image "{image}"'
            if error := self._errors.get(key):
                message = f"{message}: {error}"
            raise ImageProblem("ImagePullBackOff", message, left)
        tell("Normal", "Pulling", f'Pulling image "{image}"')
        try:
            reference = await self._images.pull_image(image, await self._credentials(pod), sandbox)
        except RuntimeFault as fault:
            self._backoff.next(key, now, self._clock.now())
            reason = fault.reason or "ErrImagePull"
            self._errors[key] = f"{reason}: {fault}"
            tell("Warning", "Failed", f'Failed to pull image "{image}": {fault}')
            raise ImageProblem(reason, str(fault), 0.0) from None
        self.forget(key)
        self._changed()
        took = self._clock.now() - now
        status = await self._images.image_status(image)
        size = f" Image size: {status.size} bytes." if status is not None else ""
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{image}" in {_span(took)} ({_span(took)} including waiting).{size}',
        )
        return reference

    def forget(self, key: Any) -> None:
        """The pull went well, or the pod is gone."""
        self._backoff.forget(key)
        self._errors.pop(key, None)

    async def _credentials(self, pod: Any) -> Sequence[Mapping[str, str]]:
        """What the pod's imagePullSecrets hold; missing and unreadable ones are passed over, as the kubelet does."""
        from kybern.api.core import Secret

        found: list[Mapping[str, str]] = []
        for reference in pod.spec.imagePullSecrets or ():
            secret = await self._sources.get(Secret, pod.metadata.namespace, reference.name or "")
            data = (secret.data if secret is not None else None) or {}
            found += _docker_config(data.get(".dockerconfigjson"), data.get(".dockercfg"))
        return found


def _docker_config(config: bytes | None, legacy: bytes | None) -> list[Mapping[str, str]]:
    try:
        auths = (json.loads(config).get("auths") or {}) if config else json.loads(legacy or b"{}")
    except (ValueError, AttributeError):
        return []
    keys = ("username", "password", "auth")
    if not isinstance(auths, dict):
        return []
    return [
        {"server_address": host, **{k: a[k] for k in keys if k in a}}
        for host, a in auths.items()
        if isinstance(a, dict)
    ]


def _span(seconds: float) -> str:
    """As Go prints a duration."""
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
