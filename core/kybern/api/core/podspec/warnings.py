"""Things in a pod that are allowed and probably not meant: the server answers them as `Warning` headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern.api import quantity
from kybern.api.core.podspec.affinity import PREFERRED, REQUIRED
from kybern.api.field import Path
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
NULL_SELECTOR = "a null labelSelector results in matching no pod"


def pod_warnings(pod: Any, old: Any | None) -> list[str]:
    """Warnings for a Pod; updates warn only about what they bring."""
    if old is not None and old.spec == pod.spec:
        return []
    return _all(pod.metadata, pod.spec, Path("spec"), is_template=False)


def template_warnings(template: Any, path: Path, old: Any | None = None) -> list[str]:
    """Warnings for a PodTemplateSpec at `path`; none when it is the old one."""
    if template is None or (old is not None and old == template):
        return []
    return _all(template.metadata, template.spec, path.child("spec"), is_template=True)


def _all(metadata: Any, spec: Any, path: Path, *, is_template: bool) -> list[str]:
    found = [*_labels(spec, path), *_affinity(spec, path), *_spread(spec, path)]
    annotations = path.child("metadata", "annotations") if is_template else Path("metadata").child("annotations")
    for key, text in DEPRECATED_ANNOTATIONS.items():
        if key in (metadata.annotations or {}):
            found.append(f"{annotations.key(key)}: {text}")
    found += _volumes(spec, path)
    for i, alias in enumerate(spec.hostAliases or ()):
        found += _duplicates(path.child("hostAliases").index(i).child("hostnames"), alias.hostnames or ())
    for i, reference in enumerate(spec.imagePullSecrets or ()):
        if not reference.name:
            found.append(f'{path.child("imagePullSecrets").index(i).child("name")}: invalid empty name ""')
    found += _containers(spec, path)
    if (spec.terminationGracePeriodSeconds or 0) < 0:
        at = path.child("terminationGracePeriodSeconds")
        found.append(f"{at}: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _duplicates(path: Path, values: Any) -> Iterator[str]:
    for i, value in enumerate(values):
        if value in values[:i]:
            yield f'{path.index(i)}: duplicate "{value}"'


def _labels(spec: Any, path: Path) -> Iterator[str]:
    for key, text in DEPRECATED_LABELS.items():
        if key in (spec.nodeSelector or {}):
            yield f"{path.child('nodeSelector').key(key)}: {text}"


def _affinity(spec: Any, path: Path) -> Iterator[str]:
    affinity = spec.affinity
    if affinity is None:
        return
    path = path.child("affinity")
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
    for i, volume in enumerate(spec.volumes or ()):
        at = path.child("volumes").index(i)
        for field, text in DEPRECATED_VOLUMES.items():
            if getattr(volume, field) is not None:
                yield f"{at.child(field)}: {text}"
        projected = volume.projected
        sources = projected.sources or () if projected is not None else ()
        if any(all(getattr(s, f) is None for f in s.__struct_fields__) for s in sources):
            yield f'volume "{volume.name}" (Projected) has no sources provided'


def _containers(spec: Any, path: Path) -> Iterator[str]:
    ports: dict[tuple[str, int], Path] = {}
    for field in ("initContainers", "containers"):
        for i, container in enumerate(getattr(spec, field) or ()):
            at = path.child(field).index(i)
            yield from _env(container, at)
            yield from _amounts(container.resources, at.child("resources"))
            yield from _ports(container, at, ports if field == "containers" else {})


def _env(container: Any, path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for i, variable in enumerate(container.env or ()):
        if variable.name in seen:
            at = path.child("env").index(i)
            yield f'{at}: hides previous definition of "{variable.name}", which may be dropped when using apply'
        seen.add(variable.name)


def _amounts(resources: Any, path: Path) -> Iterator[str]:
    for side in ("limits", "requests"):
        for name, amount in (getattr(resources, side) or {}).items():
            if name in ("memory", "ephemeral-storage") and quantity.parse(amount).denominator != 1:
                at = path.child(side).key(name)
                yield f'{at}: fractional byte value "{amount}" is invalid, must be an integer'


def _ports(container: Any, path: Path, seen: dict[tuple[str, int], Path]) -> Iterator[str]:
    for i, port in enumerate(container.ports or ()):
        at, key = path.child("ports").index(i), (port.protocol or "", port.containerPort)
        if key in seen and not port.hostPort:
            yield f"{at}: duplicate port definition with {seen[key]}"
        seen.setdefault(key, at)
