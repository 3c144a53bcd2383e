"""Objects by selector out of an informer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import selectors
from kybern.api.core import Pod
from kybern.api.meta import ObjectMeta
from kybern.reconcile.informers import ObjectCache
from kybern.reconcile.selected import selected

LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["1", "2", ""]), max_size=2)
TEXTS = ["", "a=1", "a==1,b=2", "a!=1", "a", "!a", "a in (1,2)", "a in (2)", "b=2,a notin (1)", "a=", "a>0"]


@pytest.mark.parametrize("namespace", ["", "x", "y", "none"])
@given(pods=st.lists(st.tuples(st.sampled_from("xy"), LABELS), max_size=8), text=st.sampled_from(TEXTS))
def test_finds_what_a_look_at_all_of_them_finds(
    namespace: str, pods: list[tuple[str, dict[str, str]]], text: str
) -> None:
    cache: ObjectCache[Pod] = ObjectCache(Pod)
    selector = selectors.parse_labels(text)
    selected(cache, "x", selectors.parse_labels("a=1"))
    for i, (where, labels) in enumerate(pods):
        cache.put(Pod(metadata=ObjectMeta(name=f"p{i}", namespace=where, labels=labels, resourceVersion=str(i + 1))))
    expected = {p.metadata.name for p in cache.list(namespace) if selector.matches(p.metadata.labels)}
    assert {p.metadata.name for p in selected(cache, namespace, selector)} == expected
