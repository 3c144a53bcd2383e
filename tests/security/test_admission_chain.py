"""Which admission plugins are on, and what they are asked about."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.clock import VirtualClock
from kybern.config import ConfigError
from kybern_admission_builtin import Options, chain
from tests.security.world import World


class Started:
    """The part of a Start that the chain needs."""

    def __init__(self) -> None:
        self.client = self.informers = World()
        self.clock = VirtualClock()
        self.registry = None


def names(**options: Any) -> list[str]:
    start: Any = Started()
    return [plugin.name for plugin in chain.build(start, Options(**options))]


def test_plugins_are_on_as_upstream_has_them_and_can_be_switched() -> None:
    assert names() == [
        "NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction", "TaintNodesByCondition",
        "PodSecurity", "Priority",
        "DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection",
        "PersistentVolumeClaimResize", "RuntimeClass", "DeviceAdminAccess", "CertificateApproval", "CertificateSigning",
        "CertificateSubjectRestriction", "DefaultIngressClass", "ResourceQuota",
    ]  # fmt: skip
    assert "OwnerReferencesPermissionEnforcement" in names(enable=("OwnerReferencesPermissionEnforcement",))
    assert "Priority" not in names(disable=("Priority",))
    with pytest.raises(ConfigError, match="disable: no admission plugin is named 'Prioriti'"):
        names(disable=("Prioriti",))


def test_every_plugin_says_no_before_it_asks_about_kinds_that_are_not_its_own() -> None:
    from kybern.api import registry

    start: Any = Started()
    kinds = registry.builtin()
    config_map, pods = kinds.resource("", "v1", "configmaps"), kinds.resource("", "v1", "pods")
    interested = [p.name for p in chain.build(start, Options()) if p.handles("CREATE", config_map, "")]
    assert interested == ["NamespaceLifecycle", "ResourceQuota"]
    on_binding = [p.name for p in chain.build(start, Options()) if p.handles("CREATE", pods, "binding")]
    assert on_binding == ["NamespaceLifecycle", "NodeRestriction"]
