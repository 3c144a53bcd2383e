"""PodTemplate: resource `podtemplates`, a template on its own."""

from __future__ import annotations

from typing import Any

from kybern.api.core.podspec.defaults import default_template
from kybern.api.core.podspec.table import CONTAINERS, IMAGES, containers_and_images
from kybern.api.core.podspec.template import validate_template
from kybern.api.core.podspec.warnings import template_warnings
from kybern.api.field import Errors, Path
from kybern.api.kind import Column, Kind
from kybern.api.table import NAME, labels

TEMPLATE = Path("template")


def default(obj: Any) -> None:
    """Defaults of the pods to be."""
    default_template(obj.template)


def validate(obj: Any, errors: Errors) -> None:
    """The template is all there is."""
    validate_template(errors, TEMPLATE, obj.template)


def spec_changed(new: Any, old: Any) -> bool:
    """A PodTemplate's desired state is its template."""
    return bool(new.template != old.template)


def warn(new: Any, old: Any | None) -> list[str]:
    """Warnings about the template."""
    return template_warnings(new.template, TEMPLATE, old.template if old is not None else None)


def row(obj: Any, now: float) -> list[Any]:
    """Table cells."""
    return [obj.metadata.name, *containers_and_images(obj.template.spec), labels(obj.template.metadata.labels)]


KIND = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    namespaced=True,
    default=default,
    validate=validate,
    spec_changed=spec_changed,
    warn=warn,
    columns=(
        NAME,
        Column("Containers", description=CONTAINERS.description),
        Column("Images", description=IMAGES.description),
        Column("Pod Labels", description="The labels for the pod template."),
    ),
    row=row,
)
