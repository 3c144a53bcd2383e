"""Imports that wait: a package whose `__init__` runs only when somebody wants what it defines.

For a package of which a start needs one part and whose `__init__` imports all of them: aiohttp's
takes a tenth of a start for a client that most clusters never use.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["package"]


def package(name: str) -> None:
    """Make `name` such a package; nothing happens when it is imported already or is not there."""
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None:
        return
    made = module_from_spec(spec)
    made.__class__ = _Package
    made.__version__ = version(name)  # type: ignore[attr-defined]  # submodules ask for it
    sys.modules[name] = made


class _Package(ModuleType):
    """Submodules are found without the `__init__`; anything else runs it."""

    def __getattr__(self, name: str) -> Any:
        submodule = f"{self.__name__}.{name}"
        if not name.startswith("__") and find_spec(submodule) is not None:
            return import_module(submodule)
        self.__class__ = ModuleType  # type: ignore[assignment]  # from here on it is as any other
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
