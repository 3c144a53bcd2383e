"""No controller of ours is without its contract."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kybern.cluster.cluster import Cluster
from kybern.testing.controller import ControllerContract

pytestmark = pytest.mark.anyio


def contracts(of: type[ControllerContract] = ControllerContract) -> Iterator[type[ControllerContract]]:
    for cls in of.__subclasses__():
        if cls.__name__.startswith("Test"):
            yield cls
        yield from contracts(cls)


async def test_every_controller_of_a_whole_cluster_has_a_contract(kybern_cluster: Cluster) -> None:
    for path in sorted(Path(__file__).parent.glob("test_contract_*.py")):
        importlib.import_module(f"tests.controllers.{path.stem}")
    held = {cls().make().name for cls in contracts()}
    missing = sorted(set(kybern_cluster.engine.controllers) - held)
    assert len(held) > 40
    assert not missing, (
        f"controllers that no class of tests/controllers/test_contract_*.py makes: {', '.join(missing)}. "
        "What a controller does after a crash is known only when it was tried: say there what it works on."
    )
