"""/version: which Kubernetes this is."""

from __future__ import annotations

import platform
from typing import Any

__all__ = ["GIT_VERSION", "version"]

GIT_VERSION = "v1.37.0+kybern"


def version() -> dict[str, Any]:
    """The document at /version, in the form of upstream's `version.Info`."""
    return {
        "major": "1",
        "minor": "37",
        "emulationMajor": "1",
        "emulationMinor": "37",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{_MACHINES.get(platform.machine(), platform.machine())}",
    }


_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
