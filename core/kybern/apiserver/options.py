"""What the query of a request asks for: options of reads and writes, checked as upstream checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from kybern.api import selectors
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.apiserver.request import query_bool, query_int

__all__ = ["ListOptions", "Predicate", "WriteOptions", "list_options", "predicate", "write_options"]

Query = Mapping[str, list[str]]
Predicate = Callable[[Any], bool]

FIELD_VALIDATION = ("Ignore", "Strict", "Warn")
_META = "meta.k8s.io"
_LONGEST_MANAGER = 128


@attrs.frozen
class WriteOptions:
    """Options of create, update and patch."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False


_PLAIN = WriteOptions()


def _one(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def dry_run_of(values: list[str], errors: Errors) -> bool:
    """Whether only to pretend; `All` is the one value there is."""
    values = [v for v in values if v]
    if not values:
        return False
    unknown = [v for v in values if v != "All"]
    if unknown:
        errors.not_supported("dryRun", unknown if len(unknown) > 1 else unknown[0], ["All"])
    return True


def write_options(query: Query, kind: str) -> WriteOptions:
    """Options from a query; `kind`: CreateOptions, UpdateOptions or PatchOptions. StatusError 422 for bad ones."""
    if not query:
        return _PLAIN
    errors = Errors()
    dry_run = dry_run_of(query.get("dryRun", []), errors)
    manager = _one(query, "fieldManager")
    if len(manager) > _LONGEST_MANAGER:
        errors.too_long("fieldManager", _LONGEST_MANAGER)
    elif not manager.isprintable():
        at = next(i for i, c in enumerate(manager) if not c.isprintable())
        errors.invalid("fieldManager", manager, f"invalid character U+{ord(manager[at]):04X} (at position {at})")
    validation = _one(query, "fieldValidation")
    if validation not in ("", *FIELD_VALIDATION):
        errors.not_supported("fieldValidation", validation, ["", *FIELD_VALIDATION])
    if errors:
        raise StatusError.invalid(kind, _META, "", errors)
    return WriteOptions(dry_run, manager, validation or "Warn", query_bool(query, "force"))


@attrs.frozen
class ListOptions:
    """Options of list, watch and deletecollection."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_: str = ""
    resource_version: str = ""
    match: str = ""
    timeout: int | None = None
    bookmarks: bool = False
    send_initial_events: bool | None = None


_ALL = ListOptions()


def list_options(query: Query, *, watch: bool = False) -> ListOptions:
    """Options from a query; StatusError 400 or 422 for bad ones."""
    if not query:
        return _ALL
    initial = query_bool(query, "sendInitialEvents") if _one(query, "sendInitialEvents") else None
    options = ListOptions(
        _one(query, "labelSelector"), _one(query, "fieldSelector"), query_int(query, "limit") or 0,
        _one(query, "continue"),
        _one(query, "resourceVersion"), _one(query, "resourceVersionMatch"), query_int(query, "timeoutSeconds"),
        query_bool(query, "allowWatchBookmarks"), initial,
    )  # fmt: skip
    errors = Errors()
    (_check_watch if watch else _check_list)(options, errors)
    if errors:
        raise StatusError.invalid("ListOptions", _META, "", errors)
    return options


def _check_list(options: ListOptions, errors: Errors) -> None:
    if options.match:
        _check_match(options, options.match, errors)
    if options.send_initial_events is not None:
        errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _check_match(options: ListOptions, match: str, errors: Errors) -> None:
    if not options.resource_version:
        errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if options.continue_:
        errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
    if match not in ("Exact", "NotOlderThan"):
        errors.not_supported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""])
    if match == "Exact" and options.resource_version == "0":
        errors.forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')


def _check_watch(options: ListOptions, errors: Errors) -> None:
    match, initial = options.match, options.send_initial_events
    if initial is not None and match != "NotOlderThan":
        errors.forbidden(
            "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if not match:
        return
    if initial is None:
        errors.forbidden(
            "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
    if match != "NotOlderThan":
        errors.not_supported("resourceVersionMatch", match, ["NotOlderThan"])
    if options.continue_:
        errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")


def predicate(kind: Kind, labels: str, fields: str) -> tuple[Predicate | None, str, str]:
    """Selectors in text form -> (test of an object or None, the one name, the one namespace they ask for or "").

    StatusError 400 for selectors that cannot be read or name a field the kind cannot be selected by.
    """
    if not labels and not fields:
        return None, "", ""
    try:
        label_selector = selectors.parse_labels(labels) if labels else selectors.EVERYTHING
        field_selector = selectors.parse_fields(fields)
    except ValueError as error:
        raise StatusError.bad_request(str(error)) from None
    tests: list[Predicate] = []
    if not label_selector.empty:
        matches = label_selector.matches
        tests.append(lambda obj: matches(obj.metadata.labels))
    for field, operator, value in field_selector.requirements:
        tests.append(_field_test(kind, field, operator == "=", value))
    name = field_selector.exact("metadata.name") or ""
    namespace = field_selector.exact("metadata.namespace") or ""
    return _together(tests), name, namespace


def _together(tests: list[Predicate]) -> Predicate | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda obj: all(test(obj) for test in tests)


def _field_test(kind: Kind, field: str, equal: bool, value: str) -> Predicate:
    if field == "metadata.name":
        return lambda obj: (obj.metadata.name == value) is equal
    if field == "metadata.namespace" and kind.namespaced:
        return lambda obj: ((obj.metadata.namespace or "") == value) is equal
    get = kind.selectable.get(field)
    if get is None:
        raise StatusError.bad_request(_unknown_field(kind, field))
    return lambda obj: (get(obj) == value) is equal


def _unknown_field(kind: Kind, field: str) -> str:
    if kind.selectable:
        return f"field label not supported: {field}"
    known = '"metadata.name", "metadata.namespace"' if kind.namespaced else '"metadata.name"'
    return f'"{field}" is not a known field selector: only {known}'
