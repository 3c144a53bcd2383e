"""After `make up`: make `kubectl` and `kybern` reachable by name where they are not yet, or say how.

usage: link_commands.py VENV_BIN
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

COMMANDS = ("kubectl", "kybern")


def folder_on_path() -> Path | None:
    """A writable folder for local programs that the shell already looks into."""
    places = [Path.home() / ".local" / "bin", Path("/usr/local/bin")]
    on_path = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep)]
    return next((p for p in places if p in on_path and p.is_dir() and os.access(p, os.W_OK)), None)


def main(bin_folder: Path) -> None:
    """Link what is missing; never replace anything."""
    missing = [c for c in COMMANDS if shutil.which(c) is None]
    if not missing:
        return
    target = folder_on_path()
    if target is None:
        print(f'To use them by name: export PATH="{bin_folder}:$PATH"')
        return
    for command in missing:
        link = target / command
        if link.is_symlink():
            link.unlink()
        link.symlink_to(bin_folder / command)
        print(f"Linked {link} -> {bin_folder / command}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
