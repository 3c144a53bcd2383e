"""The command line: every command's flags and help texts, in one place because they are read together."""

from __future__ import annotations

import argparse

__all__ = ["COMMANDS", "parser"]

COMMANDS = ("up", "down", "delete", "status", "kubeconfig", "plugins", "snapshot", "clock", "break", "logs", "kubectl")


def parser(with_plugins: bool = False) -> argparse.ArgumentParser:
    """The parser of all commands; `with_plugins` also asks plugins for theirs."""
    top = argparse.ArgumentParser(prog="kybern", description="Kubernetes as a Python plugin framework.")
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    _add_up(commands)
    for command, text in (
        ("down", "stop a cluster; its state stays"),
        ("delete", "stop a cluster and delete its state and kubeconfig context"),
        ("status", "show clusters, their processes, nodes and pods"),
        ("kubeconfig", "print a cluster's kubeconfig"),
    ):
        _name(commands.add_parser(command, help=text, description=text.capitalize() + "."))
    _add_plugins(commands)
    _add_snapshot(commands)
    _add_clock(commands)
    _add_break(commands)
    _add_logs(commands)
    kubectl = commands.add_parser(
        "kubectl", help="run kubectl against a cluster (kybern kubectl get pods -A)", add_help=False
    )
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    if with_plugins:
        _add_plugin_commands(commands)
    return top


def _version() -> str:
    from importlib.metadata import version

    return f"kybern {version('kybern')} (Kubernetes v1.37)"


def _name(command: argparse.ArgumentParser, default: str | None = None) -> None:
    command.add_argument(
        "--name", metavar="C", default=default, help="name of the cluster (default: the only one there is, or 'kybern')"
    )


def _add_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = commands.add_parser(
        "up",
        help="start a cluster, or resume it",
        description="Start a cluster, or resume the one of that name, and make it kubectl's current context.",
    )
    _name(up)
    up.add_argument("--nodes", type=_count, metavar="N", help="number of nodes (default 1)")
    up.add_argument("--port", type=int, metavar="P", help="port of the API server (default 6443; 0: any free one)")
    up.add_argument("--clock", choices=("system", "virtual"), help="whose time it runs by (virtual: see kybern clock)")
    up.add_argument("--config", metavar="F", help="configuration file (kybern.toml)")
    up.add_argument(
        "--enable", action="append", default=[], metavar="PLUGIN", help="a plugin that must run (repeatable)"
    )
    up.add_argument(
        "--disable", action="append", default=[], metavar="PLUGIN", help="a plugin that must not run (repeatable)"
    )
    up.add_argument("--foreground", action="store_true", help="stay in this process until interrupted")
    up.add_argument("--no-kubeconfig", action="store_true", help="leave the user's kubeconfig alone")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of nodes")
    return int(text)


def _add_plugins(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plugins = commands.add_parser("plugins", help="list plugins: seams, version, state, and why one is off")
    plugins.add_argument("--config", metavar="F", help="configuration file (kybern.toml)")
    plugins.add_argument("--enable", action="append", default=[], metavar="PLUGIN")
    plugins.add_argument("--disable", action="append", default=[], metavar="PLUGIN")
    plugins.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _add_snapshot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    snapshot = commands.add_parser("snapshot", help="save or restore a cluster's objects")
    actions = snapshot.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, text in (
        ("save", "write a consistent snapshot to FILE, of a running or stopped cluster"),
        ("restore", "replace a stopped cluster's objects by those in FILE"),
    ):
        command = actions.add_parser(action, help=text, description=text.capitalize() + ".")
        command.add_argument("file", metavar="FILE")
        _name(command)


def _add_break(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "break things on purpose: kill a container, stop a node, give it back"
    breaking = commands.add_parser("break", help=text, description=text.capitalize() + ".")
    actions = breaking.add_subparsers(dest="action", metavar="ACTION", required=True)
    kill = actions.add_parser("kill", help="kill a container of a pod, as the kernel might (exit code 137)")
    kill.add_argument("pod", metavar="POD")
    kill.add_argument("-n", "--namespace", default="default")
    kill.add_argument("-c", "--container", default="", help="default: the pod's first")
    _name(kill)
    for action, text in (("stop", "a node falls silent, as if its machine lost power"), ("start", "a node comes back")):
        node = actions.add_parser(action, help=text, description=text.capitalize() + ".")
        node.add_argument("node", metavar="NODE")
        _name(node)


def _add_clock(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    clock = commands.add_parser(
        "clock",
        help="show, freeze or advance a test cluster's time",
        description="Show a cluster's time; freeze, advance or pace it when it was started with --clock virtual.",
    )
    _name(clock)
    actions = clock.add_subparsers(dest="action", metavar="ACTION")
    for action, text in (
        ("show", "print the time (the default)"),
        ("freeze", "let time stand still"),
        ("resume", "let time go on at its rate"),
    ):
        _name(actions.add_parser(action, help=text, description=text.capitalize() + "."), argparse.SUPPRESS)
    advance = actions.add_parser("advance", help="let a time pass at once", description="Let a time pass at once.")
    advance.add_argument("duration", metavar="DURATION", help="such as 90s, 15m, 1h30m, 2d")
    rate = actions.add_parser("rate", help="set how fast time goes", description="Set how fast time goes.")
    rate.add_argument("rate", metavar="N", type=float, help="seconds per real second; 0 freezes")
    for command in (advance, rate):
        _name(command, argparse.SUPPRESS)


def _add_logs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    logs = commands.add_parser("logs", help="show what a cluster's process wrote")
    _name(logs)
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("-n", "--tail", type=int, default=100, metavar="N", help="last N lines (default 100)")


def _add_plugin_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from kybern import config, plugins

    settings = config.load().plugins
    plugins.load(settings.enable, settings.disable).call("kybern_commands", commands=commands)
