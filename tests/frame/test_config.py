"""Settings: what fits is taken, what does not is refused with its place, its value and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.config import ConfigError, load


def config_of(tmp_path: Path, text: str, **environ: str):
    file = tmp_path / "kybern.toml"
    file.write_text(text)
    return load(file, environ=environ)


def test_everything_has_a_default():
    config = load(environ={})
    assert (config.name, config.api.port, config.store.driver, config.nodes.runtime) == (
        "kybern",
        6443,
        "sqlite",
        "fake",
    )


def test_plugin_tables_are_options_of_that_plugin(tmp_path):
    config = config_of(tmp_path, '[plugins]\ndisable = ["a"]\n[plugins.b]\nx = 1\n')
    assert config.plugins.disable == ["a"]
    assert config.plugins.options == {"b": {"x": 1}}


def test_environment_beats_file_and_flags_beat_environment(tmp_path):
    file = tmp_path / "kybern.toml"
    file.write_text("[api]\nport = 1\n[nodes]\ncount = 1\n")
    config = load(
        file, {"nodes.count": 3}, {"KYBERN_API_PORT": "2", "KYBERN_NODES_COUNT": "2", "KYBERN_DISABLE": "a, b"}
    )
    assert (config.api.port, config.nodes.count, config.plugins.disable) == (2, 3, ["a", "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('nam = "x"', "nam: there is no such setting (its value is 'x'); did you mean 'name'?"),
        ("name = 3", "name: 3 is not a text"),
        ('name = "No_Label"', "name: 'No_Label' is not a DNS label: use lower-case letters, digits and '-', at most 63"),
        ("api = 3", "api: 3 is not a table"),
        ('[api]\nport = "x"', "api.port: 'x' is not a whole number"),
        ("[api]\nport = true", "api.port: True is not a whole number"),
        ("[api]\nport = 70000", "api.port: 70000 is not a port: use 1 to 65535, or 0 for any free one"),
        ('[plugins]\nenable = "a"', "plugins.enable: 'a' is not a list, each item a text"),
        ("[[nodes.group]]\ncount = 1", "nodes.group[0].name: is missing"),
        ('[[nodes.group]]\nname = "a"\ncont = 1', "nodes.group[0].cont: there is no such setting (its value is 1); did you mean 'count'?"),
        ('[[nodes.group]]\nname = "a"\ntaints = [1]', "nodes.group[0].taints[0]: 1 is not a text"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(ConfigError) as refused:
        config_of(tmp_path, text)
    assert str(refused.value) == message


def test_a_file_that_is_not_toml_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"kybern\.toml: is not TOML"):
        config_of(tmp_path, "x = [")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml: there is no such file"):
        load(tmp_path / "nothing.toml", environ={})


def test_a_variable_of_the_wrong_type_is_named():
    with pytest.raises(ConfigError, match="KYBERN_API_PORT: 'many' is not a whole number"):
        load(environ={"KYBERN_API_PORT": "many"})


def test_a_variable_that_sets_nothing_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"KYBERN_NODES_CONT: there is no such setting .*KYBERN_NODES_COUNT\?"):
        load(environ={"KYBERN_NODES_CONT": "2"})
    load(environ={"KYBERN_HOME": "/x", "KYBERN_NAME": "x"})
