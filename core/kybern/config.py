"""Configuration: kybern.toml, then `KYBERN_*` variables, then flags, into one checked Config.

Anything that does not fit is a ConfigError that names the place, the value and what would be right.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types as python_types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

__all__ = [
    "APIConfig",
    "Config",
    "ConfigError",
    "NetworkConfig",
    "NodeGroup",
    "NodesConfig",
    "PluginsConfig",
    "SchedulerConfig",
    "StoreConfig",
    "TimeConfig",
    "load",
]


MOST_RATE = 3600
"""Virtual seconds per real second: an hour."""


class ConfigError(Exception):
    """The configuration is wrong; the text says where and how to mend it."""


@attrs.frozen(kw_only=True)
class APIConfig:
    """`[api]`: where the API server listens."""

    address: str = "127.0.0.1"
    port: int = 6443
    """0: any free port."""
    names: list[str] = attrs.field(factory=list)
    """Further host names and addresses for the server's certificate."""
    token_file: str = ""
    """Static token file (CSV: token,user,uid,"group1,group2")."""
    track_all_writers: bool = False
    """Keep `managedFields` of every object, as upstream does, and not only of those whose creator names itself (as
    kubectl does) or that somebody applies: half as many creates per second, and lists half as large again."""


@attrs.frozen(kw_only=True)
class StoreConfig:
    """`[store]`: where objects are kept. `options` go to the driver."""

    driver: str = "sqlite"
    options: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class NetworkConfig:
    """`[network]`: address ranges and the DNS domain."""

    pod_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/12"
    node_port_range: str = "30000-32767"
    cluster_domain: str = "cluster.local"


@attrs.frozen(kw_only=True)
class NodeGroup:
    """`[[nodes.group]]`: nodes that differ from the rest."""

    name: str
    """Nodes are named `<name>-0`, `<name>-1`, ..."""
    count: int = 1
    runtime: str = ""
    """Empty: as `nodes.runtime`."""
    cpu: str = ""
    memory: str = ""
    pods: int = 0
    labels: dict[str, str] = attrs.field(factory=dict)
    taints: list[str] = attrs.field(factory=list)
    """`key=value:Effect`."""


@attrs.frozen(kw_only=True)
class NodesConfig:
    """`[nodes]`: the nodes this process hosts."""

    count: int = 1
    runtime: str = "fake"
    cpu: str = "32"
    memory: str = "256Gi"
    pods: int = 110
    group: list[NodeGroup] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class SchedulerConfig:
    """`[scheduler]`: `config` is the path of a KubeSchedulerConfiguration."""

    enabled: bool = True
    config: str = ""


@attrs.frozen(kw_only=True)
class ControllersConfig:
    """`[controllers]`: which controllers run; `disable` names single ones."""

    enabled: bool = True
    disable: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class TimeConfig:
    """`[time]`: `clock` is `system`, or `virtual` for test clusters whose time `kybern clock` moves."""

    clock: str = "system"
    rate: float = 1.0
    """Of a virtual clock: its seconds per real second; 0: it stands still until it is advanced."""
    start: str = ""
    """Of a virtual clock: the time at which a new cluster begins (RFC 3339); empty: now."""


@attrs.frozen(kw_only=True)
class PluginsConfig:
    """`[plugins]`: what is on and off. Tables below it are the plugins' own options."""

    enable: list[str] = attrs.field(factory=list)
    disable: list[str] = attrs.field(factory=list)
    options: dict[str, Any] = attrs.field(factory=dict)
    """Plugin name -> its section, checked against the plugin's `Options` when it is loaded."""


@attrs.frozen(kw_only=True)
class Config:
    """kybern.toml."""

    name: str = "kybern"
    """Name of the cluster and of the kubeconfig context."""
    api: APIConfig = attrs.field(factory=APIConfig)
    store: StoreConfig = attrs.field(factory=StoreConfig)
    network: NetworkConfig = attrs.field(factory=NetworkConfig)
    nodes: NodesConfig = attrs.field(factory=NodesConfig)
    scheduler: SchedulerConfig = attrs.field(factory=SchedulerConfig)
    controllers: ControllersConfig = attrs.field(factory=ControllersConfig)
    time: TimeConfig = attrs.field(factory=TimeConfig)
    plugins: PluginsConfig = attrs.field(factory=PluginsConfig)

    def __attrs_post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", self.name):
            raise ConfigError(
                f"name: {self.name!r} is not a DNS label: use lower-case letters, digits and '-', at most 63"
            )
        if not 0 <= self.api.port <= 65535:
            raise ConfigError(f"api.port: {self.api.port} is not a port: use 1 to 65535, or 0 for any free one")
        if self.nodes.count < 0:
            raise ConfigError(f"nodes.count: {self.nodes.count} is negative: use 0 for a cluster without nodes")
        if self.time.clock not in ("system", "virtual"):
            raise ConfigError(f"time.clock: {self.time.clock!r} is neither 'system' nor 'virtual'")
        if not 0 <= self.time.rate <= MOST_RATE:
            raise ConfigError(f"time.rate: {self.time.rate:g} is not between 0 (stands still) and {MOST_RATE}")


def load(
    file: Path | None = None, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Config:
    """The configuration from a file (None: `KYBERN_CONFIG`, or nothing), the environment and dotted overrides.

    Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    if file is None and environ.get("KYBERN_CONFIG"):
        file = Path(environ["KYBERN_CONFIG"])
    data = _read(file) if file else {}
    for path, value in {**from_environment(environ), **(overrides or {})}.items():
        _put(data, path, value)
    if isinstance(section := data.get("plugins"), dict):
        data["plugins"] = _split_plugin_options(section)
    config: Config = structure(data, Config, "")
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: cannot be read: {e}") from e
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{file}: is not TOML: {e}") from e


def _split_plugin_options(section: dict[str, Any]) -> dict[str, Any]:
    """`[plugins.x]` tables are options of plugin x."""
    own = {k: v for k, v in section.items() if not isinstance(v, dict)}
    return {**own, "options": {k: v for k, v in section.items() if isinstance(v, dict)}}


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        data = data.setdefault(name, {})
    data[last] = value


def _variables(cls: type[Any], prefix: str = "") -> dict[str, tuple[str, Any]]:
    """Environment variable -> (dotted path, type) of every plain field."""
    found: dict[str, tuple[str, Any]] = {}
    for name, kind in get_type_hints(cls).items():
        path = f"{prefix}{name}"
        if attrs.has(kind):
            found |= _variables(kind, path + ".")
        elif kind in (str, int, bool, list[str]):
            found["KYBERN_" + path.replace(".", "_").upper()] = (path, kind)
    return found


def from_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Dotted path -> value of every `KYBERN_*` variable that is a setting."""
    known = _variables(Config)
    known["KYBERN_ENABLE"], known["KYBERN_DISABLE"] = known["KYBERN_PLUGINS_ENABLE"], known["KYBERN_PLUGINS_DISABLE"]
    _refuse_unknown(environ, known)
    found = {}
    for variable, (path, kind) in known.items():
        if (text := environ.get(variable)) is not None:
            found[path] = _parse_variable(variable, text, kind)
    return found


def _refuse_unknown(environ: Mapping[str, str], known: Mapping[str, Any]) -> None:
    """A variable of one of our sections that sets nothing is a mistake; others (KYBERN_HOME, ...) are not settings."""
    sections = tuple(f"KYBERN_{name.upper()}_" for name, kind in get_type_hints(Config).items() if attrs.has(kind))
    for variable, value in environ.items():
        if variable.startswith(sections) and variable not in known:
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else "see the settings in the README"
            raise ConfigError(f"{variable}: there is no such setting (its value is {value!r}); {hint}")


def _parse_variable(variable: str, text: str, kind: Any) -> Any:
    if kind is int:
        if not re.fullmatch(r"-?\d+", text):
            raise ConfigError(f"{variable}: {text!r} is not a whole number")
        return int(text)
    if kind is float:
        try:
            return float(text)
        except ValueError:
            raise ConfigError(f"{variable}: {text!r} is not a number") from None
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ConfigError(f"{variable}: {text!r} is neither true nor false")
        return text.lower() in ("true", "1")
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _strict(kind: type[Any]) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is kind or (kind is float and type(value) is int):
            return value
        raise _Unfit(value, kind)

    return check


class _Unfit(ValueError):
    """A value of the wrong type."""

    def __init__(self, value: Any, kind: Any) -> None:
        super().__init__()
        self.value = value
        self.kind = kind


_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def _word(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin in (Union, python_types.UnionType):
        return " or ".join(_word(k) for k in get_args(kind))
    if origin is list and get_args(kind):
        return f"a list, each item {_word(get_args(kind)[0])}"
    return _WORDS.get(origin, "a table")


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _strict(kind))
    return converter


def structure(data: Any, cls: type[Any], where: str) -> Any:
    """Plain data -> attrs class, strictly; ConfigError with the path `where` in front. Also for plugins' options."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where or 'configuration'}: {data!r} is not a table")
    converter = _converter()
    converter.register_structure_hook_factory(
        attrs.has, lambda c: make_dict_structure_fn(c, converter, _cattrs_forbid_extra_keys=True)
    )
    _check_shapes(data, cls, where)
    try:
        return converter.structure(data, cls)
    except ConfigError as e:
        raise ConfigError(f"{where + '.' if where else ''}{e}") from None
    except Exception as e:
        raise ConfigError(_explain(e, where)) from None


def _check_shapes(data: dict[str, Any], cls: type[Any], where: str) -> None:
    """Unknown keys and wrong containers, which cattrs reports without their place."""
    hints = get_type_hints(cls)
    for key, value in data.items():
        path = f"{where}.{key}" if where else key
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known here are: {', '.join(sorted(hints))}"
            raise ConfigError(f"{path}: there is no such setting (its value is {value!r}); {hint}")
        kind = hints[key]
        origin = get_origin(kind) or kind
        if attrs.has(kind):
            if not isinstance(value, dict):
                raise ConfigError(f"{path}: {value!r} is not a table")
            _check_shapes(value, kind, path)
        elif origin in (list, dict) and not isinstance(value, origin):
            raise ConfigError(f"{path}: {value!r} is not {_word(kind)}")
        elif origin is list:
            _check_items(value, get_args(kind), path)


def _check_items(items: list[Any], arguments: tuple[Any, ...], path: str) -> None:
    for i, item in enumerate(items):
        if arguments and attrs.has(arguments[0]):
            if not isinstance(item, dict):
                raise ConfigError(f"{path}[{i}]: {item!r} is not a table")
            _check_shapes(item, arguments[0], f"{path}[{i}]")


def _explain(e: BaseException, where: str) -> str:
    """The first leaf of cattrs' error tree, with its path."""
    path = where
    while isinstance(e, cattrs.BaseValidationError) and e.exceptions:
        e = e.exceptions[0]
        for note in getattr(e, "__notes__", ()):
            step = getattr(note, "name", None)
            if step is not None:
                path = f"{path}.{step}" if path else str(step)
            elif (index := getattr(note, "index", None)) is not None:
                path = f"{path}[{index!r}]"
    if isinstance(e, _Unfit):
        return f"{path}: {e.value!r} is not {_word(e.kind)}"
    if isinstance(e, ConfigError):
        return str(e)
    if (isinstance(e, TypeError) and "required" in str(e)) or isinstance(e, KeyError):
        missing = re.findall(r"'(\w+)'", str(e))[-1]
        path = path if path.endswith(missing) else f"{path}.{missing}"
        return f"{path.removeprefix('.')}: is missing"
    return f"{path}: {e}"
