"""An example of a third-party plugin: a container runtime that starts plain processes.

A container's command runs on the machine as it is: no image, no isolation, no pod network. That is
all a runtime has to be for the node agent. Install this folder, then say in kybern.toml:

    [nodes]
    runtime = "process"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kybern import hookimpl

if TYPE_CHECKING:
    from kybern.node.runtime import RuntimeDriver


@hookimpl
def kybern_runtime() -> dict[str, type[RuntimeDriver]]:
    """One runtime, named `process`."""
    from kybern_runtime_process.driver import ProcessDriver

    return {"process": ProcessDriver}
