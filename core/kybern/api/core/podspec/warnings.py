"""Things in a pod that are allowed and probably not meant: the server answers them as `Warning` headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kybern.api.core.podspec.affinity import PREFERRED, REQUIRED
from kybern.api.field import Path, go_quote
from kybern.api.validation import names

__all__ = ["pod_warnings", "template_warnings"]

DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
DEPRECATED_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
}
DEPRECATED_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SPEC, METADATA = Path("spec"), Path("metadata")
NULL_SELECTOR = "a null labelSelector results in matching no pod"


def pod_warnings(pod: Any, old: Any | None) -> list[str]:
    """Warnings for a Pod; updates warn only about what they bring."""
    if old is not None and old.spec == pod.spec:
        return []
    return _all(pod.metadata, pod.spec, SPEC, is_template=False)


def template_warnings(template: Any, path: Path, old: Any | None = None) -> list[str]:
    """Warnings for a PodTemplateSpec at `path`; none when it is the old one."""
    if template is None or (old is not None and old == template):
        return []
    return _all(template.metadata, template.spec, path.child("spec"), is_template=True)


def _all(metadata: Any, spec: Any, path: Path, *, is_template: bool) -> list[str]:
    found: list[str] = []
    if spec.nodeSelector:
        found += _labels(spec, path)
    if spec.affinity is not None:
        found += _affinity(spec.affinity, path.child("affinity"))
    if spec.topologySpreadConstraints:
        found += _spread(spec, path)
    if metadata.annotations:
        at = path.child("metadata") if is_template else METADATA
        found += _annotations(metadata.annotations, at.child("annotations"))
    if spec.volumes:
        found += _volumes(spec, path)
    if spec.hostAliases:
        found += _duplicates(path.child("hostAliases"), "ip", spec.hostAliases)
    if spec.imagePullSecrets:
        found += _pull_secrets(spec.imagePullSecrets, path.child("imagePullSecrets"))
    found += _containers(spec, path)
    if (spec.terminationGracePeriodSeconds or 0) < 0:
        at = path.child("terminationGracePeriodSeconds")
        found.append(f"{at}: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _annotations(annotations: Mapping[str, str], path: Path) -> Iterator[str]:
    for key, text in DEPRECATED_ANNOTATIONS.items():
        if key in annotations:
            yield f"{path.key(key)}: {text}"


def _pull_secrets(references: list[Any], path: Path) -> Iterator[str]:
    yield from _duplicates(path, "name", references)
    for i, reference in enumerate(references):
        if not reference.name:
            yield f'{path.index(i).child("name")}: invalid empty name ""'


def _duplicates(path: Path, field: str, items: Iterable[Any]) -> Iterator[str]:
    seen: set[str] = set()
    for i, item in enumerate(items):
        value = getattr(item, field)
        if value in seen:
            yield f"{path.index(i).child(field)}: duplicate {field} {go_quote(value or '')}"
        seen.add(value)


def _labels(spec: Any, path: Path) -> Iterator[str]:
    for key, text in DEPRECATED_LABELS.items():
        if key in (spec.nodeSelector or {}):
            yield f"{path.child('nodeSelector').key(key)}: {text}"


def _affinity(affinity: Any, path: Path) -> Iterator[str]:
    if affinity.nodeAffinity is not None:
        yield from _node_affinity(affinity.nodeAffinity, path.child("nodeAffinity"))
    for field in ("podAffinity", "podAntiAffinity"):
        terms = getattr(affinity, field)
        if terms is None:
            continue
        for i, term in enumerate(terms.requiredDuringSchedulingIgnoredDuringExecution or ()):
            if term.labelSelector is None:
                yield f"{path.child(field, REQUIRED).index(i).child('labelSelector')}: {NULL_SELECTOR}"
        for i, weighted in enumerate(terms.preferredDuringSchedulingIgnoredDuringExecution or ()):
            if weighted.podAffinityTerm.labelSelector is None:
                at = path.child(field, PREFERRED).index(i).child("podAffinityTerm", "labelSelector")
                yield f"{at}: {NULL_SELECTOR}"


def _node_affinity(affinity: Any, path: Path) -> Iterator[str]:
    required = affinity.requiredDuringSchedulingIgnoredDuringExecution
    for i, term in enumerate(required.nodeSelectorTerms or () if required is not None else ()):
        yield from _deprecated_keys(term, path.child(REQUIRED, "nodeSelectorTerms").index(i))
    for i, preferred in enumerate(affinity.preferredDuringSchedulingIgnoredDuringExecution or ()):
        at = path.child(PREFERRED).index(i).child("preference")
        yield from _deprecated_keys(preferred.preference, at)
        for j, expression in enumerate(preferred.preference.matchExpressions or ()):
            for k, value in enumerate(expression.values or ()):
                where = at.child("matchExpressions").index(j).child("values").index(k)
                for fault in names.label_value(value):
                    yield f"{where}: {value} is invalid, {fault}"


def _deprecated_keys(term: Any, path: Path) -> Iterator[str]:
    for i, expression in enumerate(term.matchExpressions or ()):
        text = DEPRECATED_LABELS.get(expression.key)
        if text:
            yield f"{path.child('matchExpressions').index(i).child('key')}: {expression.key} is {text}"


def _spread(spec: Any, path: Path) -> Iterator[str]:
    for i, constraint in enumerate(spec.topologySpreadConstraints or ()):
        at = path.child("topologySpreadConstraints").index(i)
        text = DEPRECATED_LABELS.get(constraint.topologyKey)
        if text:
            yield f"{at.child('topologyKey')}: {constraint.topologyKey} is {text}"
        if constraint.labelSelector is None:
            yield f"{at.child('labelSelector')}: {NULL_SELECTOR}"


def _volumes(spec: Any, path: Path) -> Iterator[str]:
    for i, volume in enumerate(spec.volumes):
        for field, text in DEPRECATED_VOLUMES.items():
            if getattr(volume, field) is not None:
                yield f"{path.child('volumes').index(i).child(field)}: {text}"
        sources = volume.projected.sources or () if volume.projected is not None else ()
        if any(all(getattr(source, field) is None for field in source.__struct_fields__) for source in sources):
            yield f'volume "{volume.name}" (Projected) has no sources provided'
        for kind, items in _file_sources(volume):
            for file in _overlaps([item.path for item in items]):
                yield f'volume "{volume.name}" ({kind}): overlapping paths: "{file}" with "{file}"'


def _file_sources(volume: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    if volume.configMap is not None:
        yield f'ConfigMap "{volume.configMap.name or ""}"', volume.configMap.items or ()
    if volume.secret is not None:
        yield f'Secret "{volume.secret.secretName or ""}"', volume.secret.items or ()
    if volume.downwardAPI is not None:
        yield "DownwardAPI", volume.downwardAPI.items or ()


def _overlaps(paths: list[str]) -> Iterator[str]:
    for i, path in enumerate(paths):
        if path in paths[:i]:
            yield path


def _containers(spec: Any, path: Path) -> Iterator[str]:
    ports: dict[tuple[str, int], Path] = {}
    for field in ("initContainers", "containers"):
        for i, container in enumerate(getattr(spec, field) or ()):
            yield from _amounts(container.resources, path, field, i)
            if container.env and len(container.env) > 1:
                yield from _env(container.env, path.child(field).index(i).child("env"))
            if container.ports:
                at = path.child(field).index(i).child("ports")
                yield from _ports(container.ports, at, ports if field == "containers" else {})


def _env(variables: list[Any], path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for i, variable in enumerate(variables):
        if variable.name in seen:
            hidden = f'hides previous definition of "{variable.name}", which may be dropped when using apply'
            yield f"{path.index(i)}: {hidden}"
        seen.add(variable.name)


def _amounts(resources: Any, path: Path, field: str, index: int) -> Iterator[str]:
    for side in ("limits", "requests"):
        for name, amount in (getattr(resources, side) or {}).items():
            # A canonical amount of less than one ends in m, u or n.
            if amount.endswith(("m", "u", "n")) and name in ("memory", "ephemeral-storage"):
                at = path.child(field).index(index).child("resources", side).key(name)
                yield f'{at}: fractional byte value "{amount}" is invalid, must be an integer'


def _ports(found: list[Any], path: Path, seen: dict[tuple[str, int], Path]) -> Iterator[str]:
    for i, port in enumerate(found):
        key = (port.protocol or "", port.containerPort)
        if key in seen and not port.hostPort:
            yield f"{path.index(i)}: duplicate port definition with {seen[key]}"
        elif key not in seen:
            seen[key] = path.index(i)
