"""Build hook: makes the schema table and the type stubs from the kubernetes-validate package.

That package carries the JSON schemas of every Kubernetes version in 100 MB; Kybern needs one version
in 200 kB. So it is a build dependency only, and what is made here is never committed. Run by hatchling
for wheels and editable installs alike; `python hatch_build.py` makes the files in place.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import zlib
from pathlib import Path
from typing import Any

VERSION = "v1.37.0-local"
ROOT = Path(__file__).parent
TARGET = ROOT / "core/kybern/api/_schema"
SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "micro-time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "any",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "any",
}
SCALARS = {
    ("string", None): "string",
    ("string", "byte"): "bytes",
    ("string", "date-time"): "time",
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("integer", None): "int64",
    ("boolean", None): "boolean",
    ("number", "double"): "double",
    ("number", None): "double",
}


def source() -> Path:
    """The definitions file inside the installed kubernetes-validate."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise RuntimeError("kubernetes-validate is not installed: it is a build dependency of kybern")
    return Path(spec.origin).parent / "kubernetes-json-schema" / VERSION / "_definitions.json"


def type_of(schema: dict[str, Any]) -> Any:
    """A schema's type in compact form: a scalar's name, `["struct", name]`, `["list", item]` or `["map", value]`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return SPECIAL.get(name) or ["struct", name]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(k for k in kind if k != "null")
    if kind == "array":
        return ["list", type_of(schema["items"])]
    if kind == "object":
        return ["map", type_of(schema["additionalProperties"])] if "additionalProperties" in schema else "any"
    return SCALARS[(kind, schema.get("format"))] if kind else "any"


def extras(schema: dict[str, Any]) -> dict[str, Any]:
    """What merging needs to know about a field."""
    known = {
        "x-kubernetes-list-type": "list_type",
        "x-kubernetes-list-map-keys": "list_keys",
        "x-kubernetes-map-type": "map_type",
        "x-kubernetes-patch-strategy": "patch_strategy",
        "x-kubernetes-patch-merge-key": "patch_merge_key",
    }
    return {short: schema[name] for name, short in known.items() if name in schema}


def compact(definitions: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(schema table, descriptions) of all definitions."""
    table, descriptions = {}, {}
    for name, schema in definitions.items():
        fields = schema.get("properties", {})
        descriptions[name] = [schema.get("description", ""), {f: s.get("description", "") for f, s in fields.items()}]
        if name in SPECIAL:
            continue
        table[name] = {
            "fields": {f: [type_of(s), extras(s)] for f, s in fields.items()},
            "required": schema.get("required", []),
            "gvk": [[g["group"], g["version"], g["kind"]] for g in schema.get("x-kubernetes-group-version-kind", [])],
            "map_type": schema.get("x-kubernetes-map-type", ""),
        }
    return table, descriptions


def pack(path: Path, data: Any) -> None:
    path.write_bytes(zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9))


def build() -> list[Path]:
    """Write the data files and the stubs; returns them."""
    definitions = json.loads(source().read_bytes())["$defs"]
    table, descriptions = compact(definitions)
    TARGET.mkdir(parents=True, exist_ok=True)
    pack(TARGET / "schema.json.z", table)
    pack(TARGET / "descriptions.json.z", descriptions)
    return [TARGET / "schema.json.z", TARGET / "descriptions.json.z", *write_stubs()]


def write_stubs() -> list[Path]:
    """Stubs for `kybern.api.<group>`, made by the package's own generator so that they cannot disagree with it."""
    sys.path.insert(0, str(ROOT / "core"))
    try:
        from kybern.api import stubs
    except ImportError as e:  # msgspec is not there in an isolated build of an sdist
        print(f"no type stubs: {e}", file=sys.stderr)
        return []
    finally:
        sys.path.pop(0)
    return stubs.write(ROOT / "core/kybern/api")


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:
    pass
else:

    class SchemaBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's own generic is not subscriptable here
        """hatchling's entry: makes the files before it collects them."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Called by hatchling before every build."""
            for path in build():
                build_data["artifacts"].append("/" + str(path.relative_to(ROOT)))


if __name__ == "__main__":
    for made in build():
        print(made.relative_to(ROOT))
