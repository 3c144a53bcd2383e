"""One node's fake runtime: joins runtime, images, prober and the process's journal."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path
from typing import Any, ClassVar

from kybern.api import quantity
from kybern.clock import Clock
from kybern.node.runtime import MachineInfo, RuntimeDriver, RuntimeFault
from kybern_runtime_fake.images import FakeImages
from kybern_runtime_fake.journal import ImageRecord, Journal
from kybern_runtime_fake.options import BehaviourError, Options, Subject, behaviour_of, usage_said
from kybern_runtime_fake.prober import FakeProber
from kybern_runtime_fake.runtime import FakeRuntime
from kybern_runtime_fake.storage import PROVISIONER as STORAGE_DRIVER

__all__ = ["FakeDriver"]

log = logging.getLogger(__name__)


class FakeDriver(RuntimeDriver):
    """The runtime `fake`."""

    needs_volumes: ClassVar[bool] = False
    csi_drivers: ClassVar[tuple[str, ...]] = (STORAGE_DRIVER,)
    runtime: FakeRuntime
    images: FakeImages
    options: Options

    def __init__(self, node_name: str, clock: Clock, options: Any, state_dir: Path) -> None:
        super().__init__(node_name, clock, options or Options(), state_dir)
        self.spread = zlib.crc32(node_name.encode()) / 2**32
        self.images = FakeImages(self)
        self.runtime = FakeRuntime(self)
        self.journal: Journal

    async def start(self) -> None:
        self.journal = Journal.of(self.state_dir, self.options.keep_state)
        records = sorted(self.journal.take(self.node_name), key=lambda r: getattr(r, "created_at", 0.0))
        for record in records:
            if isinstance(record, ImageRecord):
                self.images.adopt(record)
            else:
                self.runtime.adopt(record)

    async def close(self) -> None:
        self.runtime.close()
        self.journal.release()

    async def machine(self) -> MachineInfo:
        options = self.options
        ident = f"{zlib.crc32(self.node_name.encode()):08x}"
        return MachineInfo(
            cpu_milli=quantity.milli(options.cpu),
            memory_bytes=quantity.value(options.memory),
            ephemeral_storage_bytes=quantity.value(options.ephemeral_storage),
            pods=options.pods,
            kernel_version="6.12.0-kybern",
            os_image="Kybern fake node",
            machine_id=ident * 4,
            system_uuid=f"{ident}-0000-4000-8000-{ident}0000",
            boot_id=f"{ident}-0000-4000-8000-00000000{ident[:4]}",
        )

    def prober(self) -> FakeProber:
        return FakeProber(self.runtime, self.clock)

    def behaviour(self, subject: Subject) -> dict[str, Any]:
        """What rules and annotations say; RuntimeFault when an annotation means nothing."""
        if not subject.annotations and not self.options.rules:
            return {}
        try:
            return behaviour_of(self.options, subject)
        except BehaviourError as error:
            raise RuntimeFault("InvalidArgument", str(error)) from None

    def usage_said(self, subject: Subject) -> dict[str, str]:
        """What rules and annotations say a container uses; as if nothing, when an annotation means nothing."""
        try:
            return usage_said(self.options, subject)
        except BehaviourError as error:
            log.warning("pod %s/%s: %s", subject.namespace, subject.pod, error)
            return {}
