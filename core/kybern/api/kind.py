"""What the server knows about one resource: names, verbs, and the functions of its life.

Each kind has one file in its group's folder (`api/core/configmap.py`) whose `KIND` is one of
these. The API server needs nothing else to serve it. A function left out means "nothing special".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from kybern.api.field import Errors

if TYPE_CHECKING:
    from kybern.api.computed import Computed

__all__ = ["ALL_VERBS", "REVIEW_VERBS", "Column", "Kind", "Subresource", "WriteContext"]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
REVIEW_VERBS = ("create",)
"""Verbs of kinds that are questions, not stored objects (SubjectAccessReview, TokenReview)."""


@attrs.frozen
class Column:
    """One column of the Table that `kubectl get` shows."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""
    field: str = ""
    """`Definition.field` (`ObjectMeta.name`) whose documentation is the description when that is empty."""


@attrs.define
class WriteContext:
    """What a kind's functions may know about the write they take part in."""

    now: float
    """Wall time of the request, seconds since the epoch."""
    user: str = ""
    """Name of the authenticated user."""
    groups: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    uid: str = ""
    subresource: str = ""
    """Empty, or `status`, `scale`, ..."""
    warnings: list[str] = attrs.field(factory=list)
    """Texts for `Warning` response headers; kinds may append."""
    dry_run: bool = False


@attrs.frozen
class Subresource:
    """A path below an object. `status` and `scale` need no function; others are served by `apiserver`."""

    name: str
    kind: str = ""
    """Kind of its body, when not the parent's."""
    group: str = ""
    version: str = ""
    verbs: tuple[str, ...] = ("get", "patch", "update")


def _nothing(*_: Any) -> None:
    return None


@attrs.define(eq=False)
class Kind:
    """One resource of one API version.

    All functions get typed Structs. `default`, `prepare_*` change the object they are given;
    `validate*` only add to `errors`, with paths from the object's root (`metadata.name`, `spec...`).
    Order in a create: default, prepare_create, (admission), validate. In an update: default,
    prepare_update, (admission), validate, validate_update.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()

    default: Callable[[Any], None] = _nothing
    """Fill in what the user left out."""
    prepare_create: Callable[[Any, WriteContext], None] = _nothing
    """Clear what a creator may not set (status), set what the server owns (spec.clusterIP is the server's own step)."""
    prepare_update: Callable[[Any, Any, WriteContext], None] = _nothing
    """(new, old, context): keep what this path may not change, e.g. status on the main path. `metadata.generation`
    is counted by the server: it grows when `spec_changed` says so."""
    validate: Callable[[Any, Errors], None] = _nothing
    """Everything about the object alone, except object metadata, which the server checks."""
    validate_update: Callable[[Any, Any, Errors], None] = _nothing
    """(new, old, errors): what may not change."""
    validate_status_update: Callable[[Any, Any, Errors], None] = _nothing
    """(new, old, errors) for the status subresource."""
    validate_subresource: Mapping[str, Callable[[Any, Any, Errors], None]] = attrs.field(factory=dict)
    """(new, old, errors) by subresource (`resize`, `ephemeralcontainers`), asked there instead of `validate_update`."""
    spec_changed: Callable[[Any, Any], bool] | None = None
    """(new, old): whether `metadata.generation` grows. None: this kind has no generation."""
    warn: Callable[[Any, Any | None], Sequence[str]] | None = None
    """(new, old or None): texts for Warning headers (deprecated fields, suspicious values)."""
    orphans: str | None = None
    """Not None: deleted without a word about what it owns, it leaves that behind, as before there was garbage
    collection. The text, if any, warns of it."""
    name_errors: Callable[[str, bool], list[str]] | None = None
    """(name, is_prefix): what is wrong with a name; None: the DNS subdomain rule."""
    selectable: Mapping[str, Callable[[Any], str]] = attrs.field(factory=dict)
    """Field selectors beyond metadata.name and metadata.namespace."""
    columns: tuple[Column, ...] = (Column("Name", format="name"), Column("Age"))
    """Table columns, Name first."""
    row: Callable[[Any, float], list[Any]] | None = None
    """(object, now) -> cells, one per column. None: name and age."""
    scale_paths: tuple[str, str, str] | None = None
    """(spec replicas, status replicas, selector) as dotted paths, for the scale subresource."""
    storage_version_of: tuple[str, str] | None = None
    """(group, version) whose storage this version shares (autoscaling/v1 and v2, events): with `convert_*`."""
    convert_from_storage: Callable[[Any], Any] | None = None
    convert_to_storage: Callable[[Any], Any] | None = None
    no_grace: bool = True
    """False for pods: deletion waits for the grace period."""
    definition: str = ""
    """Name in the schema table; found by group, version and kind when empty."""
    allow_create_on_update: bool = False
    """PUT of a name that does not exist creates it (upstream: leases, events, endpoints...)."""
    unconditional_update: bool = True
    """PUT without resourceVersion overwrites; when False it is an error on metadata.resourceVersion."""
    computed: Computed | None = None
    """Answers reads instead of the store; objects are plain data, `verbs` are get and list, no function above is used
    but `row`. A plural of `*` stands for every name in the group and version."""

    @property
    def api_version(self) -> str:
        """`v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def struct(self) -> type[Any]:
        """The Struct class of its objects; of computed kinds, `dict`."""
        if self.computed is not None:
            return dict
        from kybern.api import types

        return types.struct_of(self)
