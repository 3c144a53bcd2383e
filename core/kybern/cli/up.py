"""`kybern up`: start a cluster in the background (or here), show progress, merge its context."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from kybern import config as settings
from kybern.cli.errors import CommandError
from kybern.cluster import kubeconfig
from kybern.cluster.state import Record, State
from kybern.config import Config

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Start or resume, and return when the cluster is ready (or, with --foreground, when it ends)."""
    state, config, plain = _configured(args)
    if (pid := state.pid()) is not None:
        record = state.read()
        print(f"Cluster {record.name!r} is running already (process {pid}) at {record.url}.")
        if plain != record.config:
            print(f"It keeps the settings it runs with; for others: kybern down --name {record.name}, then up again.")
        _merge(args, state, record)
        return 0
    resumed = state.exists
    print(f"{'Resuming' if resumed else 'Starting'} cluster {config.name!r} in {state.root}", flush=True)
    if args.foreground:
        return _foreground(args, state, config, plain)
    record = _background(state, config, plain)
    _merge(args, state, record)
    print(f"Cluster {record.name!r} is ready at {record.url}. Try: kubectl get nodes")
    return 0


def _configured(args: argparse.Namespace) -> tuple[State, Config, dict[str, Any]]:
    """The cluster's directory and settings: what it was created with, then file, environment and flags of this call."""
    overrides: dict[str, Any] = {}
    given = {"name": args.name, "nodes.count": args.nodes, "api.port": args.port, "time.clock": args.clock}
    for path, value in given.items():
        if value is not None:
            overrides[path] = value
    file = Path(args.config) if args.config else None
    config = settings.load(file, overrides)
    state = State.of(config.name)
    if state.exists and not args.config and state.read().url:  # what never came up has no settings worth keeping
        saved = state.read().config
        config = settings.load(None, {**_flat(saved), **settings.from_environment(), **overrides})
    enable, disable = set(args.enable), set(args.disable)
    plugins = msgspec.to_builtins(config.plugins)
    plugins["enable"] = sorted((set(plugins["enable"]) | enable) - disable)
    plugins["disable"] = sorted((set(plugins["disable"]) | disable) - enable)
    plain = {**msgspec.to_builtins(config), "plugins": plugins}
    return state, settings.structure(plain, Config, ""), plain


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted overrides; options and lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and key not in ("options", "plugins"):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key == "plugins":
            flat |= {f"plugins.{k}": v for k, v in value.items() if k != "options"}
            flat |= {f"plugins.{name}": options for name, options in value.get("options", {}).items()}
        else:
            flat[prefix + key] = value
    return flat


def _merge(args: argparse.Namespace, state: State, record: Record) -> None:
    if args.no_kubeconfig:
        return
    import yaml

    file = kubeconfig.user_file()
    kubeconfig.merge(file, yaml.safe_load(state.kubeconfig.read_text()))
    print(f"Context {record.name!r} is now the current one in {file}.")


def _foreground(args: argparse.Namespace, state: State, config: Config, plain: dict[str, Any]) -> int:
    from kybern.cluster import process

    def ready(record: Record) -> None:
        _merge(args, state, record)
        print(f"Cluster {record.name!r} is ready at {record.url}. Ctrl-C stops it.", flush=True)

    try:
        process.serve(state, config, plain, _show, ready)
    except process.StartError as e:
        state.discard()
        raise CommandError(str(e)) from e
    return 0


def _show(step: str) -> None:
    print(f"  {step}", flush=True)


def _background(state: State, config: Config, plain: dict[str, Any]) -> Record:
    """Fork a process of its own session that runs the cluster, and follow its progress until it is ready."""
    state.create()
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        _become_daemon(state)
        _child(state, config, plain, os.fdopen(writing, "wb", buffering=0))
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as progress:
        for line in progress:
            message = msgspec.json.decode(line)
            if "ready" in message:
                return state.read()
            if "error" in message:
                state.discard()
                raise CommandError(message["error"])
            _show(message["step"])
    raise CommandError(f"the cluster's process ended before it was ready; see: {state.log}")


def _become_daemon(state: State) -> None:
    log = os.open(state.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.chdir("/")


def _child(state: State, config: Config, plain: dict[str, Any], progress: Any) -> None:
    """The daemon: never returns to the caller's stack."""
    from kybern.cluster import process

    def tell(**message: Any) -> None:
        try:
            progress.write(msgspec.json.encode(message) + b"\n")
        except (OSError, ValueError):  # nobody listens any more, which is no reason to stop
            pass

    def show(step: str) -> None:
        tell(step=step)

    def ready(_: Record) -> None:
        tell(ready=True)
        progress.close()

    code = 0
    try:
        process.serve(state, config, plain, show, ready)
    except process.StartError as e:
        tell(error=str(e))
        code = 1
    except BaseException as e:
        import traceback

        with contextlib.suppress(OSError):  # the log's disk may be full
            traceback.print_exc()
        tell(error=f"{type(e).__name__}: {e}; see: {state.log}")
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
