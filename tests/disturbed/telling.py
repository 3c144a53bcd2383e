"""A story's objects for many namespaces, and what kubectl shows of each in the end, made comparable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import yaml

__all__ = ["manifests", "shown"]


def manifests(text: str, story: str, namespaces: Iterable[str]) -> str:
    """The objects of a step, for every namespace, with the story's label."""
    items: list[dict[str, Any]] = []
    for namespace in namespaces:
        for item in yaml.load_all(text.replace("NS", namespace), Loader=yaml.CSafeLoader):
            labels = {**item["metadata"].get("labels", {}), "story": story}
            item["metadata"] = {"namespace": namespace, **item["metadata"], "labels": labels}
            if item["kind"] == "Namespace":
                del item["metadata"]["namespace"]
            items.append(item)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


DROPPED = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generateName", "nodeName", "clusterIP")
PRIVATE = ("kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time")
"""Annotations: the second is of the change that was seen last, and whoever was dead saw fewer."""
REPLACED = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"\b10\.\d+\.\d+\.\d+\b"), "ADDRESS"),
    (re.compile(r"-\d{8}\b"), "-MINUTE"),
    (re.compile(r"node-\d"), "NODE"),
    (re.compile(r'-[bcdfghjklmnpqrstvwxz2456789]{5}"'), '-RANDOM"'),
    # That it scaled is lost with a controller that dies before it could tell, as upstream.
    (re.compile(r', "lastScaleTime": "TIME"'), ""),
    (re.compile(r', \{[^}]*"type": "ScaledToZero"\}'), ""),
    # What is still true for the same reason keeps its words, also of the ReplicaSet before, as upstream.
    (re.compile(r'(ReplicaSet \\"web-)\w+(\\" has successfully progressed)'), r"\1\2"),
)


def shown(items: Iterable[Any], namespaces: Iterable[str]) -> dict[str, list[str]]:
    """Namespace -> what kubectl shows of it, without what no two runs have in common."""
    found: dict[str, list[str]] = {namespace: [] for namespace in namespaces}
    for item in items:
        metadata = item["metadata"]
        namespace = metadata.get("namespace") or _meant(item)
        if namespace in found:
            text = json.dumps(_reduced(item), sort_keys=True).replace(namespace, "NS")
            for pattern, word in REPLACED:
                text = pattern.sub(word, text)
            found[namespace].append(text)
    return {namespace: sorted(texts) for namespace, texts in found.items()}


def _meant(item: Any) -> str:
    """The namespace that an object without one belongs to."""
    claim = item.get("spec", {}).get("claimRef", {})
    return str(claim.get("namespace") or item["metadata"].get("labels", {}).get("kubernetes.io/metadata.name", ""))


def _reduced(item: Any) -> Any:
    metadata = item["metadata"]
    if generated := metadata.get("generateName"):
        metadata["name"] = generated
    if item["kind"] == "EndpointSlice":
        del metadata["generation"]  # it counts the writes, and a dead controller leaves some out
    notes = {name: text for name, text in metadata.pop("annotations", {}).items() if name not in PRIVATE}
    if notes:
        metadata["annotations"] = notes
    if item["kind"] == "Pod":
        images = [container["image"] for container in item["spec"]["containers"]]
        item = {"kind": "Pod", "metadata": metadata, "images": images, "phase": item["status"]["phase"]}
    return _without(item)


def _without(value: Any) -> Any:
    """Without what differs each time; references to generated pods lose their random end."""
    if isinstance(value, list):
        return [_without(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {key: _without(entry) for key, entry in value.items() if key not in DROPPED}
