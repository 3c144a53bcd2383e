"""What form of answer a client accepts: JSON or YAML, the object itself, a Table or its metadata alone.

(Kubernetes API Concepts, "Receiving resources as Tables", "Alternate representations".) The first
part of the encode stage; asked before anything is done, so that an answer nobody wants changes
nothing.
"""

from __future__ import annotations

from functools import lru_cache

import attrs

from kybern.api.errors import StatusError
from kybern.apiserver.request import Request

__all__ = ["Media", "negotiate"]

_OFFERED = "application/json, application/yaml"
_JSON_TYPES = ("application/json", "*/*", "application/*", "text/json")
_YAML_TYPES = ("application/yaml", "application/vnd.yaml", "text/yaml")
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_BROWSERS = ("curl", "Wget", "Mozilla/")


@attrs.frozen
class Media:
    """A form of answer."""

    yaml: bool = False
    form: str = ""
    """"" (the object itself), Table, PartialObjectMetadata or PartialObjectMetadataList."""
    version: str = "v1"
    """Of meta.k8s.io, for forms."""
    pretty: bool = False


def negotiate(request: Request, lists: bool = False) -> Media:
    """The best form that the client accepts; StatusError 406 when we have none. `lists`: the answer is a list."""
    media = _chosen(request.headers.get("Accept", ""), lists)
    if _wants_pretty(request):
        return attrs.evolve(media, pretty=True)
    return media


def _wants_pretty(request: Request) -> bool:
    given = request.query.get("pretty") if request.query else None
    if given is not None:
        return given[0].lower() not in ("false", "0")
    return request.headers.get("User-Agent", "").startswith(_BROWSERS)


@lru_cache(maxsize=512)
def _chosen(accept: str, lists: bool) -> Media:
    if not accept.strip():
        return Media()
    known = False
    for media_type, parameters in _ranges(accept):
        if media_type not in _JSON_TYPES and media_type not in _YAML_TYPES:
            continue
        known = True
        media = _with_form(media_type in _YAML_TYPES, parameters, lists)
        if media is not None:
            return media
    if known:
        raise StatusError(406, "NotAcceptable", f"only the following media types are accepted: {_OFFERED}", {})
    raise StatusError(
        406,
        "NotAcceptable",
        f"406: Not Acceptable\n\nAvailable representations: {_OFFERED}, application/json;stream=watch",
        {},
    )


def _with_form(yaml: bool, parameters: dict[str, str], lists: bool) -> Media | None:
    form = parameters.get("as", "")
    pretty = parameters.get("pretty") in ("1", "true")
    if not form:
        return Media(yaml, pretty=pretty)
    version = parameters.get("v", "")
    if parameters.get("g") != "meta.k8s.io" or version not in ("v1", "v1beta1") or form not in _FORMS:
        return None
    if form != "Table" and lists is not (form == "PartialObjectMetadataList"):
        return None
    return Media(yaml, form, version, pretty)


def _ranges(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media ranges of an Accept header, the most wanted first."""
    found = []
    for i, part in enumerate(accept.split(",")):
        media_type, *rest = (piece.strip() for piece in part.split(";"))
        parameters = {name.strip(): value.strip().strip('"') for name, _, value in (p.partition("=") for p in rest)}
        quality = _quality(parameters.get("q", "1"))
        if media_type and quality > 0:
            found.append((-quality, i, media_type.lower(), parameters))
    return [(media_type, parameters) for _, _, media_type, parameters in sorted(found, key=lambda f: f[:2])]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
