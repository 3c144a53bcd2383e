"""Resources whose objects are made when they are asked for: metrics, and whatever else is not stored.

`Kind.computed` is one of these; the server then authenticates, authorizes and routes as for any
resource, and asks it instead of the store. Such kinds can only be read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from kybern.api.schema import Definition
from kybern.api.selectors import FieldSelector, Selector

__all__ = ["Computed", "Described", "ReadRequest", "Served"]

Plain = dict[str, Any]


@attrs.frozen
class ReadRequest:
    """What is asked for."""

    resource: str
    """The plural in the path; for a kind whose plural is `*` it can be anything."""
    namespace: str
    """"" for cluster-scoped resources, and for a list across namespaces."""
    name: str
    subresource: str
    labels: Selector
    fields: FieldSelector
    query: Mapping[str, list[str]]
    now: float
    """Wall time of the request, seconds since the epoch."""


@attrs.frozen
class Served:
    """One name under which discovery lists a computed kind."""

    name: str
    namespaced: bool = True


@attrs.frozen
class Described:
    """A definition with its documentation, for OpenAPI and `kubectl explain`."""

    definition: Definition
    text: str = ""
    fields: Mapping[str, str] = attrs.field(factory=dict)
    """Field -> what it is."""


class Computed(ABC):
    """Answers reads of one kind."""

    @property
    def described(self) -> Sequence[Described]:
        """The definitions of its objects and of their list, in this order, and of what these refer to beyond
        Kubernetes' own; without them OpenAPI does not know the kind."""
        return ()

    @abstractmethod
    async def get(self, request: ReadRequest) -> Plain:
        """The object as JSON will show it, `kind` and `apiVersion` included. StatusError 404 when there is none."""

    @abstractmethod
    async def list(self, request: ReadRequest) -> Sequence[Plain]:
        """The objects that match the selectors, in the order they are shown."""

    def served(self) -> Sequence[Served]:
        """For a kind whose plural is `*`: the names there are now. Not asked otherwise."""
        return ()

    @property
    def generation(self) -> int:
        """Changes when `served` does."""
        return 0
