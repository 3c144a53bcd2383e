"""The store a cluster's settings select, made by whichever plugin offers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern import config as settings
from kybern import plugins as plugin_loading
from kybern.clock import Clock, SystemClock
from kybern.cluster.state import State
from kybern.config import Config, ConfigError
from kybern.plugins import Plugins

if TYPE_CHECKING:
    from kybern.store.interface import Store

__all__ = ["chosen", "of_record"]


def chosen(plugins: Plugins, config: Config, state: State | None, clock: Clock, start: Any = None) -> Store:
    """The store of `store.driver`; ConfigError when no enabled plugin offers it."""
    drivers = {name: cls for offered in plugins.call("kybern_store", start=start) for name, cls in offered.items()}
    cls: Any = drivers.get(config.store.driver)
    if cls is None:
        raise ConfigError(f"store.driver: {config.store.driver!r} is offered by no plugin; there are: {', '.join(sorted(drivers))}")
    store: Store = cls(state.store if state else None, clock, config.store.options)
    return store


def of_record(state: State) -> Store:
    """The store of an existing, stopped cluster."""
    config = settings.structure(state.read().config, Config, "")
    plugins = plugin_loading.load(config.plugins.enable, config.plugins.disable)
    return chosen(plugins, config, state, SystemClock())
