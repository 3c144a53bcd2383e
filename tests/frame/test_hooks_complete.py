"""The seam list, its documentation and its tests cannot drift apart."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from kybern import hookspecs

ROOT = Path(__file__).parents[2]
HOOKS = [f for name, f in vars(hookspecs).items() if name.startswith("kybern_") and hasattr(f, "kybern_spec")]
CONTRACTS = {
    "kybern_store": "kybern.testing.store.StoreContract",
    "kybern_runtime": "kybern.testing.runtime.RuntimeContract",
    "kybern_scheduling_policy": "kybern.testing.policy.PolicyContract",
    "kybern_controllers": "kybern.testing.controller.ControllerContract",
    "kybern_admission": "kybern.testing.admission.AdmissionContract",
    "kybern_authenticator": "kybern.testing.authentication.AuthenticatorContract",
    "kybern_authorizer": "kybern.testing.authorization.AuthorizerContract",
}


def signature(hook) -> str:
    return f"{hook.__name__}({', '.join(inspect.signature(hook).parameters)})"


def test_there_are_hooks():
    assert len(HOOKS) >= 16


@pytest.mark.parametrize("hook", HOOKS, ids=lambda h: h.__name__)
def test_every_hook_has_a_docstring(hook):
    assert hook.__doc__ and len(hook.__doc__) > 20


@pytest.mark.parametrize("hook", HOOKS, ids=lambda h: h.__name__)
def test_every_hook_is_documented_with_its_exact_signature(hook):
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/hooks.md").read_text(), re.MULTILINE)
    assert signature(hook) in headings


def test_nothing_is_documented_that_does_not_exist():
    headings = re.findall(r"^## (kybern_\w+)", (ROOT / "docs/hooks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(h.__name__ for h in HOOKS)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda h: h.__name__)
def test_every_hook_is_called_by_a_test(hook):
    tests = "".join(p.read_text() for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__))
    assert hook.__name__ in tests


@pytest.mark.parametrize(("hook", "contract"), CONTRACTS.items())
def test_every_seam_with_drivers_has_a_contract_suite_that_its_documentation_names(hook, contract):
    module, _, name = contract.rpartition(".")
    assert inspect.isclass(getattr(importlib.import_module(module), name))
    section = (ROOT / "docs/hooks.md").read_text().split(f"## {hook}(")[1].split("\n## ")[0]
    assert f"`{contract}`" in section


@pytest.mark.parametrize("hook", HOOKS, ids=lambda h: h.__name__)
def test_every_type_a_signature_names_exists(hook):
    source = inspect.getsource(hookspecs)
    for module, names in re.findall(r"^    from (kybern[\w.]*) import (.+)$", source, re.MULTILINE):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
