"""Image references, as far as a pod's spec must understand them: whether a tag or a digest was given.

The grammar is the one of the distribution project's `reference` package, which container runtimes share.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["default_pull_policy"]

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?P<digest>@{_DIGEST})?",
    re.ASCII,
)


_NAME_MAX = 255


@lru_cache(maxsize=4096)
def default_pull_policy(image: str) -> str:
    """Always for the `latest` tag, given or implied; IfNotPresent for all else, even for what is no reference."""
    found = _REFERENCE.fullmatch(image)
    if found is None or len(_full_name(found["name"])) > _NAME_MAX or (found["digest"] and not found["tag"]):
        return "IfNotPresent"
    return "Always" if (found["tag"] or "latest") == "latest" else "IfNotPresent"


def _full_name(name: str) -> str:
    """The name with the registry and the folder that a short one implies."""
    domain = name.partition("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    return name if {".", ":"} & set(domain) or domain == "localhost" else f"docker.io/{name}"
