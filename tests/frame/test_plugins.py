"""Plugins: found, switched, checked. Nothing starts half-alive."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from kybern import hookimpl, plugins
from kybern.config import ConfigError
from kybern.plugins import PluginError


@pytest.fixture
def plugin(monkeypatch):
    """Makes a plugin module and its entry point."""

    def make(name: str, **attributes) -> EntryPoint:
        module = ModuleType(f"fake_plugin_{name}")
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, module.__name__, plugins.GROUP)

    return make


def states(loaded: plugins.Plugins) -> dict[str, tuple[str, str]]:
    return {p.name: (p.state, p.reason) for p in loaded.all}


def controllers_hook(*drivers):
    @hookimpl
    def kybern_controllers():
        return list(drivers)

    return kybern_controllers


def test_the_built_in_plugins_are_found_by_entry_point():
    loaded = plugins.load()
    assert loaded["store_builtin"].seams == ("store",)
    assert {p.state for p in loaded.all if p.distribution == "kybern"} == {"enabled"}


def test_drivers_of_all_plugins_are_collected(plugin):
    entries = [plugin("a", kybern_controllers=controllers_hook(1)), plugin("b", kybern_controllers=controllers_hook(2))]
    assert sorted(plugins.load(entries=entries).collect("kybern_controllers", start=None)) == [1, 2]


def test_a_disabled_plugin_takes_no_part(plugin):
    entries = [plugin("a", kybern_controllers=controllers_hook(1))]
    loaded = plugins.load(disable=["a"], entries=entries)
    assert states(loaded) == {"a": ("disabled", "disabled by configuration")}
    assert loaded.collect("kybern_controllers", start=None) == []


def test_a_plugin_that_registers_something_else_is_named(plugin):
    loaded = plugins.load(entries=[plugin("a", kybern_controllers=controllers_hook("no controller"))])
    with pytest.raises(
        PluginError, match="plugin 'a' registered 'no controller' in kybern_controllers, which is no int"
    ):
        loaded.collect("kybern_controllers", of=int, start=None)


def test_an_unknown_name_is_refused_with_those_that_exist(plugin):
    with pytest.raises(PluginError, match="there is no plugin 'x'; installed are: a"):
        plugins.load(enable=["x"], entries=[plugin("a")])


def test_a_plugin_that_the_machine_cannot_run_is_skipped_with_the_reason(plugin):
    loaded = plugins.load(entries=[plugin("a", unavailable=lambda: "no containerd socket")])
    assert states(loaded) == {"a": ("skipped", "no containerd socket")}


def test_a_plugin_that_was_asked_for_and_cannot_run_stops_the_start(plugin):
    with pytest.raises(PluginError, match="'a' was enabled by name but cannot run: no containerd socket"):
        plugins.load(enable=["a"], entries=[plugin("a", unavailable=lambda: "no containerd socket")])


def test_what_needs_a_missing_plugin_is_skipped_and_so_is_what_needs_that(plugin):
    entries = [plugin("a", requires=("b",)), plugin("b", requires=("c",)), plugin("c")]
    loaded = plugins.load(disable=["c"], entries=entries)
    assert states(loaded)["b"] == ("skipped", "requires plugin 'c', which is disabled: disabled by configuration")
    assert states(loaded)["a"][0] == "skipped"


def test_requirements_in_a_circle_are_an_error(plugin):
    with pytest.raises(PluginError, match="in a circle: a -> b -> a"):
        plugins.load(entries=[plugin("a", requires=("b",)), plugin("b", requires=("a",))])


def test_a_plugin_that_raises_on_import_is_named():
    with pytest.raises(PluginError, match=r"plugin 'broken' .* cannot be imported: ModuleNotFoundError"):
        plugins.load(entries=[EntryPoint("broken", "no_such_module_anywhere", plugins.GROUP)])


def test_a_plugin_that_exits_on_import_is_named(tmp_path, monkeypatch):
    (tmp_path / "plugin_that_leaves.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"plugin 'leaves' .* cannot be imported: SystemExit: 3"):
        plugins.load(entries=[EntryPoint("leaves", "plugin_that_leaves", plugins.GROUP)])


def test_a_plugin_that_raises_in_a_hook_is_named(plugin):
    @hookimpl
    def kybern_controllers():
        raise RuntimeError("boom")

    loaded = plugins.load(entries=[plugin("a", kybern_controllers=kybern_controllers)])
    with pytest.raises(PluginError, match="plugin 'a' failed in kybern_controllers: RuntimeError: boom"):
        loaded.collect("kybern_controllers", start=None)


def test_a_setting_that_a_plugin_refuses_is_told_as_it_is(plugin):
    @hookimpl
    def kybern_controllers():
        raise ConfigError("plugins.a.size: -1 is negative")

    loaded = plugins.load(entries=[plugin("a", kybern_controllers=kybern_controllers)])
    with pytest.raises(ConfigError, match=r"^plugins\.a\.size: -1 is negative"):
        loaded.collect("kybern_controllers", start=None)


def test_two_plugins_of_one_name_are_an_error(monkeypatch):
    entries = [EntryPoint("a", "one", plugins.GROUP), EntryPoint("a", "two", plugins.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries)
    with pytest.raises(PluginError, match=r"two plugins are named 'a': one of .* and two of"):
        plugins.discover()


def test_two_plugins_that_offer_the_same_driver_are_an_error(plugin):
    def runtimes(driver):
        @hookimpl
        def kybern_runtime():
            return {"fake": driver}

        return kybern_runtime

    loaded = plugins.load(
        entries=[plugin("a", kybern_runtime=runtimes(int)), plugin("b", kybern_runtime=runtimes(str))]
    )
    with pytest.raises(PluginError, match="both offer 'fake'"):
        loaded.offers("kybern_runtime", start=None)


def test_a_hook_that_does_not_exist_is_an_error(plugin):
    @hookimpl
    def kybern_no_such_hook():
        return None

    with pytest.raises(PluginError, match=r"plugin 'a' does not fit: .*kybern_no_such_hook"):
        plugins.load(entries=[plugin("a", kybern_no_such_hook=kybern_no_such_hook)])


def test_a_hook_with_an_argument_that_does_not_exist_is_an_error(plugin):
    @hookimpl
    def kybern_controllers(nonsense):
        return None

    with pytest.raises(PluginError, match="plugin 'a' does not fit"):
        plugins.load(entries=[plugin("a", kybern_controllers=kybern_controllers)])


def test_hook_calls_are_traced_on_demand(plugin, monkeypatch, capsys):
    monkeypatch.setenv("KYBERN_TRACE_HOOKS", "1")
    plugins.load(entries=[plugin("a", kybern_controllers=controllers_hook(1))]).collect(
        "kybern_controllers", start=None
    )
    assert capsys.readouterr().err == "kybern: a.kybern_controllers() -> [1]\n"
