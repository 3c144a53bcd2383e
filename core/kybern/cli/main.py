"""Entry point of `kybern`: parses the command line and runs one command's module.

Modules are imported when their command runs, so that `kybern --help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from keyword import iskeyword
from typing import NoReturn

from kybern.cli import arguments

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["kubectl"]:  # everything behind it is kubectl's own, --help included
        return _run("kubectl", argparse.Namespace(arguments=argv[1:], name=None))
    parser = arguments.parser(with_plugins=_needs_plugins(argv))
    args = parser.parse_args(argv)
    if getattr(args, "run", None):
        return int(args.run(args) or 0)
    if not getattr(args, "command", None):
        parser.print_help()
        return 0
    return _run(args.command, args)


def _needs_plugins(argv: Sequence[str]) -> bool:
    """Whether plugins must be asked for commands: only when the word is none of ours."""
    words = [a for a in argv if not a.startswith("-")]
    return bool(words) and words[0] not in arguments.COMMANDS


def _run(command: str, args: argparse.Namespace) -> int:
    from kybern.cli.errors import CommandError
    from kybern.cluster.kubeconfig import KubeconfigError
    from kybern.cluster.state import StateError
    from kybern.config import ConfigError
    from kybern.plugins import PluginError

    module = importlib.import_module(f"kybern.cli.{command}{'_' if iskeyword(command) else ''}")
    try:
        return int(module.run(args) or 0)
    except (CommandError, StateError, ConfigError, PluginError, KubeconfigError) as e:
        print(f"kybern: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _script() -> NoReturn:
    sys.exit(main())


if __name__ == "__main__":
    _script()
