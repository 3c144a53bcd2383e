"""The store a cluster's settings select, made by whichever plugin offers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kybern import config as settings
from kybern import plugins as plugin_loading
from kybern.clock import Clock, SystemClock
from kybern.cluster.state import State
from kybern.config import Config, ConfigError
from kybern.plugins import Offer, Plugins

if TYPE_CHECKING:
    from kybern.store.interface import Store

__all__ = ["chosen", "of_record", "select"]


def chosen(plugins: Plugins, config: Config, state: State | None, clock: Clock, start: Any = None) -> Store:
    """The store of `store.driver`; ConfigError when no enabled plugin offers it."""
    cls = select(plugins.offers("kybern_store", start=start), config.store.driver, "store.driver").driver
    options_class = getattr(cls, "Options", None)
    if options_class is None and config.store.options:
        raise ConfigError(f"store.options: the {config.store.driver} store has no settings")
    options = settings.structure(config.store.options, options_class, "store.options") if options_class else None
    store: Store = cls(state.store if state else None, clock, options)
    return store


def select(offers: dict[str, Offer], name: str, setting: str) -> Offer:
    """The offer of a name; ConfigError naming the setting when no enabled plugin makes it."""
    if name not in offers:
        known = ", ".join(sorted(offers)) or "none"
        raise ConfigError(f"{setting}: {name!r} is offered by no plugin; there are: {known}")
    return offers[name]


def of_record(state: State) -> Store:
    """The store of an existing, stopped cluster."""
    config = settings.structure(state.read().config, Config, "")
    plugins = plugin_loading.load(config.plugins.enable, config.plugins.disable)
    return chosen(plugins, config, state, SystemClock())
