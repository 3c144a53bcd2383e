"""Fake images: every reference exists unless it is marked as bad, and pulling costs nothing unless a rule says so."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kybern.node.runtime import Image, Images, PodSandboxConfig, RuntimeFault
from kybern_runtime_fake.journal import ImageRecord
from kybern_runtime_fake.options import Subject

if TYPE_CHECKING:
    from kybern_runtime_fake.driver import FakeDriver

__all__ = ["FakeImages", "full_reference"]


def full_reference(image: str) -> str:
    """As containerd names it: `nginx` -> `docker.io/library/nginx:latest`."""
    first, _, rest = image.partition("/")
    if not rest:
        image = f"docker.io/library/{image}"
    elif not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}"
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return image + ":latest"


class FakeImages(Images):
    """The images of one node."""

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self._images: dict[str, Image] = {}
        self._pulls: dict[str, int] = {}

    def adopt(self, record: ImageRecord) -> None:
        """An image that an earlier process pulled."""
        self._images[record.reference] = _image(record.reference)

    async def list_images(self) -> Sequence[Image]:
        return tuple(self._images.values())

    async def image_status(self, image: str) -> Image | None:
        return self._images.get(full_reference(image))

    async def pull_image(
        self, image: str, auth: Sequence[Mapping[str, str]] = (), sandbox: PodSandboxConfig | None = None
    ) -> str:
        reference = full_reference(image)
        said = self._driver.behaviour(self._subject(image, sandbox))
        if delay := said.get("pull_delay"):
            await self._driver.clock.sleep(delay)
        self._fail_if_bad(image, reference, said)
        if reference not in self._images:
            self._images[reference] = _image(reference)
            self._driver.journal.put(
                ImageRecord(f"{self._driver.node_name}/{reference}", self._driver.node_name, reference)
            )
        return self._images[reference].id

    def _subject(self, image: str, sandbox: PodSandboxConfig | None) -> Subject:
        if sandbox is None:
            return Subject(self._driver.node_name, "", "", "", image, {})
        return Subject(self._driver.node_name, sandbox.namespace, sandbox.name, "", image, sandbox.annotations)

    def _fail_if_bad(self, image: str, reference: str, said: Mapping[str, object]) -> None:
        host = reference.partition("/")[0]
        what = f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}"'
        if host == "invalid" or host.endswith(".invalid"):
            raise RuntimeFault("Unknown", f"{what}: failed to do request: dial tcp: lookup {host}: no such host")
        if any(mark in image for mark in self._driver.options.bad_images):
            raise RuntimeFault("NotFound", f"{what}: {reference}: not found")
        error, failures = said.get("pull_error"), said.get("pull_failures")
        if failures is not None:
            done = self._pulls[reference] = self._pulls.get(reference, 0) + 1
            if done > int(str(failures)):
                return
            error = error or f"{what}: unexpected status: 503 Service Unavailable"
        if error:
            raise RuntimeFault("Unknown", str(error))

    async def remove_image(self, image: str) -> None:
        reference = full_reference(image)
        if self._images.pop(reference, None) is not None:
            self._driver.journal.drop(f"{self._driver.node_name}/{reference}")


def _image(reference: str) -> Image:
    digest = hashlib.sha256(reference.encode()).hexdigest()
    name = reference.partition("@")[0]
    repository = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    size = 4_000_000 + int(digest[:6], 16) * 10
    tags = () if "@" in reference else (reference,)
    return Image(id=f"sha256:{digest}", repo_tags=tags, repo_digests=(f"{repository}@sha256:{digest}",), size=size)
