"""Plugins: found by entry point, switched by config, checked before anything starts.

A plugin is a module (entry point group `kybern`) with functions marked `@hookimpl`. It may also have
`Options` (an attrs class: its section `[plugins.<name>]` of kybern.toml), `requires` (names of
plugins it cannot do without), `unavailable()` (why this machine cannot run it, or None) and
`enabled_by_default` (True unless said). Skipped is not failed: a plugin that cannot run is left out
and says why; one that was asked for by name and cannot run stops the start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal, NamedTuple

import attrs
import pluggy

from kybern import hookspecs
from kybern.config import ConfigError

__all__ = ["Offer", "Plugin", "PluginError", "Plugins", "discover", "load"]

GROUP = "kybern"
TRACE = "KYBERN_TRACE_HOOKS"

State = Literal["enabled", "disabled", "skipped"]


class PluginError(Exception):
    """The plugins asked for cannot all run. The text names the plugin and says what to do."""


@attrs.define
class Plugin:
    """One plugin that was found, and what became of it."""

    name: str
    distribution: str
    version: str
    state: State = "enabled"
    reason: str = ""
    """Why it is off."""
    module: ModuleType | None = None
    seams: tuple[str, ...] = ()
    """The hooks it implements."""

    @property
    def options_class(self) -> type[Any] | None:
        """The attrs class of its config section."""
        return getattr(self.module, "Options", None)

    @property
    def requires(self) -> tuple[str, ...]:
        """Names of the plugins it needs."""
        return tuple(getattr(self.module, "requires", ()))


class Offer(NamedTuple):
    """A driver and the plugin it comes from."""

    plugin: str
    driver: Any


@attrs.define
class Plugins:
    """All plugins of a process, and the hooks of those that are enabled."""

    all: list[Plugin]
    hooks: pluggy.PluginManager

    def __getitem__(self, name: str) -> Plugin:
        for plugin in self.all:
            if plugin.name == name:
                return plugin
        raise KeyError(name)

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """Results of all enabled implementations of a hook. A plugin that raises is named in the PluginError."""
        return [result for _, result in self._results(hook, arguments)]

    def collect(self, hook: str, of: type[Any] = object, **arguments: Any) -> list[Any]:
        """All drivers that implementations of a hook register; PluginError when one is no `of`."""
        drivers = []
        for plugin, registered in self._results(hook, arguments):
            for driver in registered:
                if not isinstance(driver, of):
                    raise PluginError(
                        f"plugin {plugin!r} registered {_short(driver)} in {hook}, which is no {of.__name__}"
                    )
                drivers.append(driver)
        return drivers

    def offers(self, hook: str, **arguments: Any) -> dict[str, Offer]:
        """Drivers by name; PluginError when two plugins offer the same name."""
        offers: dict[str, Offer] = {}
        for plugin, drivers in self._results(hook, arguments):
            for name, driver in drivers.items():
                other = offers.setdefault(name, Offer(plugin, driver))
                if other.driver is not driver:
                    raise PluginError(
                        f"plugins {other.plugin!r} and {plugin!r} both offer {name!r} ({hook}); disable one of them"
                    )
        return offers

    def _results(self, hook: str, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
        results = []
        for implementation in getattr(self.hooks.hook, hook).get_hookimpls():
            wanted = {name: arguments[name] for name in implementation.argnames}
            try:
                result = implementation.function(**wanted)
                if isinstance(result, Iterator):
                    result = list(result)
            except ConfigError:
                raise
            except Exception as e:
                raise PluginError(f"plugin {implementation.plugin_name!r} failed in {hook}: {_told(e)}") from e
            if os.environ.get(TRACE):
                print(
                    f"kybern: {implementation.plugin_name}.{hook}({', '.join(wanted)}) -> {_short(result)}",
                    file=sys.stderr,
                )
            if result is not None:
                results.append((implementation.plugin_name, result))
        return results


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _told(e: BaseException) -> str:
    return f"{type(e).__name__}: {e}"


def discover() -> list[EntryPoint]:
    """The entry points of installed plugins, by name; PluginError when two claim the same name."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value or _distribution(other) != _distribution(entry):
            raise PluginError(
                f"two plugins are named {entry.name!r}: {other.value} of {_distribution(other)} and "
                f"{entry.value} of {_distribution(entry)}; uninstall one of them or rename its entry point"
            )
    return sorted(found.values(), key=lambda e: e.name)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "?"


def load(
    enable: Iterable[str] = (), disable: Iterable[str] = (), entries: Sequence[EntryPoint] | None = None
) -> Plugins:
    """Find, import, check and register all plugins.

    `enable`: names that must run; `disable`: names that must not. Raises PluginError for unknown names, import
    errors, unknown hooks, requirements that form a cycle, and plugins that were asked for and cannot run.
    """
    entries = discover() if entries is None else entries
    asked, off = set(enable), set(disable)
    _check_names(asked, off, [e.name for e in entries])
    plugins = [_load_one(entry, entry.name in asked, entry.name in off) for entry in entries]
    _skip_what_cannot_run(plugins, asked)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    for plugin in _in_order(plugins):
        _register(manager, plugin)
    return Plugins(plugins, manager)


def _check_names(asked: set[str], off: set[str], known: Sequence[str]) -> None:
    for name in sorted(asked | off):
        if name not in known:
            raise PluginError(f"there is no plugin {name!r}; installed are: {', '.join(known)}")
    if both := sorted(asked & off):
        raise PluginError(f"{both[0]!r} is both enabled and disabled")


def _load_one(entry: EntryPoint, asked: bool, off: bool) -> Plugin:
    plugin = Plugin(entry.name, _distribution(entry), entry.dist.version if entry.dist else "?")
    if off:
        plugin.state, plugin.reason = "disabled", "disabled by configuration"
        return plugin
    try:
        plugin.module = entry.load()
    except (Exception, SystemExit) as e:
        raise PluginError(
            f"plugin {entry.name!r} ({entry.value} of {plugin.distribution}) cannot be imported: {_told(e)}; "
            f"disable it with --disable {entry.name}"
        ) from e
    if not asked and not getattr(plugin.module, "enabled_by_default", True):
        plugin.state, plugin.reason = "disabled", "off unless enabled"
    return plugin


def _skip_what_cannot_run(plugins: list[Plugin], asked: set[str]) -> None:
    """Mark plugins whose machine or requirements are not there, until nothing changes any more."""
    by_name = {p.name: p for p in plugins}
    for plugin in plugins:
        unavailable: Callable[[], str | None] | None = getattr(plugin.module, "unavailable", None)
        if plugin.state == "enabled" and unavailable and (reason := unavailable()):
            _skip(plugin, reason, asked)
    changed = True
    while changed:
        changed = False
        for plugin in (p for p in plugins if p.state == "enabled"):
            if reason := _missing(plugin, by_name):
                _skip(plugin, reason, asked)
                changed = True


def _missing(plugin: Plugin, by_name: dict[str, Plugin]) -> str:
    for name in plugin.requires:
        other = by_name.get(name)
        if other is None:
            return f"requires plugin {name!r}, which is not installed"
        if other.state != "enabled":
            return f"requires plugin {name!r}, which is {other.state}: {other.reason}"
    return ""


def _skip(plugin: Plugin, reason: str, asked: set[str]) -> None:
    if plugin.name in asked:
        raise PluginError(f"plugin {plugin.name!r} was enabled by name but cannot run: {reason}")
    plugin.state, plugin.reason = "skipped", reason


def _in_order(plugins: list[Plugin]) -> list[Plugin]:
    """Enabled plugins, required ones first; PluginError for a cycle."""
    by_name = {p.name: p for p in plugins if p.state == "enabled"}
    done: list[Plugin] = []

    def visit(plugin: Plugin, path: tuple[str, ...]) -> None:
        if plugin in done:
            return
        if plugin.name in path:
            raise PluginError(f"plugins require each other in a circle: {' -> '.join((*path, plugin.name))}")
        for name in plugin.requires:
            visit(by_name[name], (*path, plugin.name))
        done.append(plugin)

    for plugin in by_name.values():
        visit(plugin, ())
    return done


def _register(manager: pluggy.PluginManager, plugin: Plugin) -> None:
    try:
        manager.register(plugin.module, name=plugin.name)
        manager.check_pending()
    except pluggy.PluginValidationError as e:
        raise PluginError(f"plugin {plugin.name!r} does not fit: {e}") from e
    callers = manager.get_hookcallers(plugin.module) or []
    plugin.seams = tuple(sorted(c.name.removeprefix("kybern_") for c in callers))
