"""The YAML that the API reads: YAML 1.1 without timestamps (a date is text), by libyaml.

Imported when the first YAML comes.
"""

from __future__ import annotations

import yaml

__all__ = ["Dumper", "Loader", "check_depth"]


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen when yaml is known
    """A safe loader that leaves dates alone."""


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # chosen when yaml is known
    """A safe dumper that writes shared values out."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_TIMESTAMP = "tag:yaml.org,2002:timestamp"
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in Loader.yaml_implicit_resolvers.items()
}


def check_depth(data: bytes, deepest: int) -> None:
    """ValueError for a document nested too deeply. Asked first, because libyaml's binding recurses on the C stack
    while it builds the document, and would take the process down."""
    depth = 0
    for event in yaml.parse(data, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > deepest:
                raise ValueError("exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
