"""A stranger's plugin: installed from its own directory, it replaces the runtime by one line of configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kybern.testing.runtime import RuntimeContract

EXAMPLE = Path(__file__).parents[2] / "examples" / "runtime_process"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that pip installed the example into."""
    target = tmp_path_factory.mktemp("plugin")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    subprocess.run([*command, str(EXAMPLE)], check=True, capture_output=True)
    return target


def test_one_line_of_configuration_replaces_the_runtime(machine, installed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")]))
    assert "runtime_process" in machine.kybern("plugins").stdout
    (machine.home / "kybern.toml").write_text('[nodes]\nruntime = "process"\n')
    machine.kybern("up", "--port", "0", "--config", "kybern.toml")
    kubectl = machine.kubectl()
    kubectl("run", "hello", "--image=none", "--restart=Never", "--", "sh", "-c", "echo I am process $$ of $HOSTNAME")
    kubectl("wait", "pod/hello", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    assert kubectl("logs", "hello").startswith("I am process ")
    assert (
        kubectl("get", "node", "node-1", "-o", "jsonpath={.status.nodeInfo.containerRuntimeVersion}")
        == "process://0.1.0"
    )
    kubectl("run", "long", "--image=none", "--", "sleep", "1000")
    kubectl("wait", "pod/long", "--for=condition=Ready", "--timeout=30s")
    kubectl("delete", "pod", "long", "--grace-period=1", "--timeout=30s")


def test_a_runtime_that_cannot_start_a_command_shows_it_on_the_pod(machine, installed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(installed))
    machine.kybern("up", "--port", "0", "--name", "p", check=False)
    machine.kybern("delete", "--name", "p")
    (machine.home / "kybern.toml").write_text('[nodes]\nruntime = "process"\n')
    machine.kybern("up", "--port", "0", "--config", "kybern.toml")
    kubectl = machine.kubectl()
    kubectl("run", "bad", "--image=none", "--restart=Never", "--", "no-such-program")
    kubectl("wait", "pod/bad", "--for=jsonpath={.status.phase}=Failed", "--timeout=30s")
    assert "StartError" in kubectl(
        "get", "pod", "bad", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    )


@pytest.mark.anyio
class TestExampleRuntime(RuntimeContract):
    """The example passes the contract suite, but for what plain processes do not have."""

    test_an_image_that_is_nowhere_cannot_be_pulled = None  # there is no registry to ask
    test_what_runs_outlives_the_driver = None  # the processes are the agent's children

    async def make(self, state_dir, clock):
        from kybern_runtime_process.driver import ProcessDriver

        return ProcessDriver("node-1", clock, None, state_dir)

    @pytest.fixture(autouse=True)
    def importable(self, monkeypatch):
        monkeypatch.syspath_prepend(str(EXAMPLE))
