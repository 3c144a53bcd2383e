"""ServiceAccount: every pod runs as an account of its namespace and finds its token where clients look."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from kybern.api import types
from kybern.api.kind import Kind
from kybern.apiserver.admission import Admission, AdmissionRequest
from kybern.clock import Clock
from kybern.reconcile.lookup import Lookup
from kybern_admission_builtin.refusal import forbidden

__all__ = ["ServiceAccount"]

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
MIRROR = "kubernetes.io/config.mirror"
ENFORCE_SECRETS = "kubernetes.io/enforce-mountable-secrets"
TOKEN_SECONDS = 3607
"""An hour and a mark: the API server stretches tokens of exactly this lifetime for clients that never reload them."""
_MOUNT = json.dumps({"name": "", "mountPath": MOUNT_PATH, "readOnly": True}).encode()
_VOLUME = json.dumps(
    {
        "name": "",
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                        ]
                    }
                },
            ],
        },
    }
).encode()
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_PATIENCE = 1.0
"""Seconds that a pod waits for the account its namespace is about to get."""


class ServiceAccount(Admission):
    """Gives pods their account, its token volume and its image pull secrets."""

    name = "ServiceAccount"
    order = 40

    def __init__(self, accounts: Lookup[Any], clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    def handles(self, operation: str, kind: Kind, subresource: str) -> bool:
        if kind.kind != "Pod" or kind.group:
            return False
        return (operation, subresource) in (("CREATE", ""), ("UPDATE", "ephemeralcontainers"))

    async def mutate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if request.operation != "CREATE" or _is_mirror(pod):
            return
        pod.spec.serviceAccountName = pod.spec.serviceAccountName or DEFAULT
        pod.spec.serviceAccount = pod.spec.serviceAccountName
        account = await self._account(request, pod.spec.serviceAccountName)
        if _automount(account, pod):
            _mount_token(pod)
        if not pod.spec.imagePullSecrets and account.imagePullSecrets:
            pod.spec.imagePullSecrets = list(account.imagePullSecrets)

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.object
        if _is_mirror(pod):
            _check_mirror(request)
            return
        account = await self._account(request, pod.spec.serviceAccountName or DEFAULT)
        if (account.metadata.annotations or {}).get(ENFORCE_SECRETS) == "true":
            _check_secrets(request, account)

    async def _account(self, request: AdmissionRequest, name: str) -> Any:
        """The account. A new namespace's default account comes a moment after the namespace: wait for it."""
        account = await self._accounts.get(name, request.namespace)
        if account is None and name == DEFAULT:
            account = await self._accounts.awaited(name, request.namespace, self._clock, _PATIENCE)
        if account is not None:
            return account
        why = f'error looking up service account {request.namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(request, why)


def _is_mirror(pod: Any) -> bool:
    return MIRROR in (pod.metadata.annotations or {})


def _automount(account: Any, pod: Any) -> bool:
    """The pod's own word counts, then the account's; silence means yes."""
    for choice in (pod.spec.automountServiceAccountToken, account.automountServiceAccountToken):
        if choice is not None:
            return bool(choice)
    return True


def _mount_token(pod: Any) -> None:
    volumes = pod.spec.volumes or []
    existing = next((v.name for v in volumes if v.name.startswith(VOLUME_PREFIX)), "")
    name = existing or VOLUME_PREFIX + "".join(random.choices(_ALPHABET, k=5))
    needed = False
    for container in (*(pod.spec.initContainers or ()), *(pod.spec.containers or ())):
        mounts = container.volumeMounts or []
        if any(mount.mountPath == MOUNT_PATH for mount in mounts):
            continue
        container.volumeMounts = [*mounts, _fresh("VolumeMount", _MOUNT, name)]
        needed = True
    if needed and not existing:
        pod.spec.volumes = [*volumes, _fresh("Volume", _VOLUME, name)]


def _fresh(kind: str, template: bytes, name: str) -> Any:
    """A new object from its JSON: several times faster than putting it together field by field."""
    made: Any = types.decode_exact(_struct(kind), template)
    made.name = name
    return made


@cache
def _struct(kind: str) -> type[Any]:
    from kybern.api import core

    struct: type[Any] = getattr(core, kind)
    return struct


def _check_mirror(request: AdmissionRequest) -> None:
    """A mirror pod shows what a node runs on its own; it may not bring API secrets to that node."""
    pod = request.object
    if pod.spec.serviceAccountName:
        raise forbidden(request, "a mirror pod may not reference service accounts")
    if any(True for _ in _secret_uses(pod)):
        raise forbidden(request, "a mirror pod may not reference secrets")
    for volume in pod.spec.volumes or ():
        sources = volume.projected.sources or () if volume.projected else ()
        if any(source.serviceAccountToken for source in sources):
            raise forbidden(request, "a mirror pod may not use ServiceAccountToken volume projections")


def _check_secrets(request: AdmissionRequest, account: Any) -> None:
    mountable = {secret.name for secret in account.secrets or ()}
    pullable = {secret.name for secret in account.imagePullSecrets or ()}
    who = f"because service account {account.metadata.name} does not reference that"
    for what, name in _secret_uses(request.object):
        if name not in mountable:
            raise forbidden(request, f"{what} is not allowed {who} secret")
    for i, secret in enumerate(request.object.spec.imagePullSecrets or ()):
        if secret.name not in pullable:
            shown = f'imagePullSecrets[{i}].name="{secret.name}"'
            raise forbidden(request, f"{shown} is not allowed {who} imagePullSecret")


def _secret_uses(pod: Any) -> Iterator[tuple[str, str]]:
    """(where, name) of every secret that volumes and environments use."""
    for volume in pod.spec.volumes or ():
        if volume.secret and volume.secret.secretName:
            yield f'volume with secret.secretName="{volume.secret.secretName}"', volume.secret.secretName
    for kind in ("init container", "container", "ephemeral container"):
        field = {"init container": "initContainers", "container": "containers"}.get(kind, "ephemeralContainers")
        for container in getattr(pod.spec, field) or ():
            yield from _environment_secrets(kind, container)


def _environment_secrets(kind: str, container: Any) -> Iterator[tuple[str, str]]:
    for variable in container.env or ():
        reference = variable.valueFrom.secretKeyRef if variable.valueFrom else None
        if reference:
            what = f"{kind} {container.name} with envVar {variable.name}"
            yield f'{what} referencing secret.secretName="{reference.name}"', reference.name
    for source in container.envFrom or ():
        if source.secretRef:
            name = source.secretRef.name
            yield f'{kind} {container.name} with envFrom referencing secret.secretName="{name}"', name
