"""Checks how a pod resolves names, and the names it adds itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import ip, names

__all__ = ["validate_dns", "validate_host_aliases"]

POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCH_LENGTH_MAX = 2048
_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_search = re.compile(_SUBDOMAIN).fullmatch
SEARCH_TEXT = names.mismatch(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)


def validate_dns(errors: Errors, path: Path, spec: Any) -> None:
    """`dnsConfig` and whether it fits `dnsPolicy`."""
    config = spec.dnsConfig
    if spec.dnsPolicy == "None":
        if config is None:
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.nameservers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.required(path.child("nameservers"), text)
    if config is None:
        return
    _validate_nameservers(errors, path.child("nameservers"), config.nameservers or [])
    _validate_searches(errors, path.child("searches"), config.searches or [])
    for i, option in enumerate(config.options or ()):
        if not option.name:
            errors.required(path.child("options").index(i), "must not be empty")


def _validate_nameservers(errors: Errors, path: Path, nameservers: list[str]) -> None:
    if len(nameservers) > NAMESERVERS_MAX:
        errors.invalid(path, nameservers, f"must not have more than {NAMESERVERS_MAX} nameservers")
    for i, nameserver in enumerate(nameservers):
        ip.validate_address(errors, path.index(i), nameserver)


def _validate_searches(errors: Errors, path: Path, searches: list[str]) -> None:
    if len(searches) > SEARCHES_MAX:
        errors.invalid(path, searches, f"must not have more than {SEARCHES_MAX} search paths")
    if len(" ".join(searches)) > SEARCH_LENGTH_MAX:
        text = f"must not have more than {SEARCH_LENGTH_MAX} characters (including spaces) in the search list"
        errors.invalid(path, searches, text)
    for i, search in enumerate(searches):
        if search != ".":
            domain = search.removesuffix(".")
            names.add_all(errors, path.index(i), search, _search_faults(domain))


def _search_faults(domain: str) -> list[str]:
    faults = [names.too_long(names.SUBDOMAIN_MAX)] if len(domain) > names.SUBDOMAIN_MAX else []
    return faults if _search(domain) else [*faults, SEARCH_TEXT]


def validate_host_aliases(errors: Errors, path: Path, aliases: Sequence[Any] | None) -> None:
    """Lines for the pod's hosts file."""
    for i, alias in enumerate(aliases or ()):
        ip.validate_address(errors, path.index(i).child("ip"), alias.ip)
        for j, hostname in enumerate(alias.hostnames or ()):
            at = path.index(i).child("hostnames").index(j)
            names.add_all(errors, at, hostname, names.dns1123_subdomain(hostname))
