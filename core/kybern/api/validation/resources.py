"""Rules for resource names (`cpu`, `hugepages-2Mi`, `example.com/gpu`) and resource quantities.

Decoding has made every quantity canonical already, so only signs, whole numbers and names are
left to check here.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import quantity
from kybern.api.field import Errors, Path
from kybern.api.validation import names

__all__ = [
    "is_extended",
    "is_hugepages",
    "is_integer",
    "is_native",
    "is_standard",
    "validate_container_resource_name",
    "validate_non_negative_quantity",
    "validate_positive_quantity",
    "validate_quantity",
    "validate_quota_resource_name",
    "validate_resource_list",
    "validate_resource_name",
]

CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
OBJECT_COUNTS = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "services.nodeports",
        "services.loadbalancers",
    }
)
QUOTA = (
    CONTAINER
    | OBJECT_COUNTS
    | {f"{side}.{name}" for side in ("requests", "limits") for name in CONTAINER}
    | {"requests.storage"}
)
STANDARD = QUOTA | {"storage"}
HUGEPAGES = "hugepages-"
NOT_NEGATIVE = "must be greater than or equal to 0"
NOT_STANDARD = "must be a standard resource type or fully qualified"


def is_hugepages(name: str) -> bool:
    """`hugepages-2Mi` and the like."""
    return name.startswith(HUGEPAGES)


def is_quota_hugepages(name: str) -> bool:
    """Huge pages as a quota counts them."""
    return name.startswith((HUGEPAGES, "requests." + HUGEPAGES))


def is_standard(name: str) -> bool:
    """A name without a domain that Kubernetes itself defines."""
    return name in STANDARD or is_quota_hugepages(name)


def is_native(name: str) -> bool:
    """Without a domain, or in Kubernetes' own."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource that a device plugin or a driver brings: `example.com/gpu`."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name("requests." + name)


def is_integer(name: str) -> bool:
    """Counted in whole pieces only."""
    return name in OBJECT_COUNTS or is_extended(name)


def validate_resource_name(errors: Errors, path: Path, name: str) -> None:
    """A qualified name; without a domain it must be a standard one."""
    if faults := names.qualified_name(name):
        names.add_all(errors, path, name, faults)
    elif "/" not in name and not is_standard(name):
        errors.invalid(path, name, NOT_STANDARD)


def validate_container_resource_name(errors: Errors, path: Path, name: str) -> None:
    """A resource that a container may ask for."""
    validate_resource_name(errors, path, name)
    if "/" not in name:
        if name not in CONTAINER and not is_hugepages(name):
            errors.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        errors.invalid(path, name, "doesn't follow extended resource name standard")


def validate_quota_resource_name(errors: Errors, path: Path, name: str) -> None:
    """A resource that a ResourceQuota may limit."""
    validate_resource_name(errors, path, name)
    if "/" not in name and name not in QUOTA and not is_quota_hugepages(name):
        errors.invalid(path, name, "must be a standard resource for quota")


def validate_non_negative_quantity(errors: Errors, path: Path, value: str) -> None:
    """Zero or more."""
    if quantity.parse(value) < 0:
        errors.invalid(path, value, NOT_NEGATIVE)


def validate_positive_quantity(errors: Errors, path: Path, value: str) -> None:
    """More than zero."""
    if quantity.parse(value) <= 0:
        errors.invalid(path, value, "must be greater than zero")


def validate_quantity(errors: Errors, path: Path, name: str, value: str) -> None:
    """The amount of one resource: not negative, and whole where only whole pieces exist."""
    validate_non_negative_quantity(errors, path, value)
    if is_integer(name) and quantity.milli(value) % 1000:
        errors.invalid(path, value, "must be an integer")


def validate_resource_list(errors: Errors, path: Path, resources: Mapping[str, str] | None) -> None:
    """Amounts by resource name, as in a pod's overhead or a volume's capacity."""
    for name, value in (resources or {}).items():
        validate_quantity(errors, path.key(name), name, value)
