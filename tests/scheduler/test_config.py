"""KubeSchedulerConfiguration: what it switches, and what it is told when it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.scheduler.config import load, read
from kybern.scheduler.policy import Policy, Status
from kybern_scheduler_policies.default_set import POLICIES
from tests.scheduler.world import Cluster

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def profile(plugins: dict[str, Any] | None = None, args: dict[str, Any] | None = None, policies: Any = POLICIES) -> Any:
    config = [{"name": name, "args": given} for name, given in (args or {}).items()]
    data = HEAD | {"profiles": [{"plugins": plugins or {}, "pluginConfig": config}]}
    return Cluster().scheduler(data, policies).profiles["default-scheduler"]


def names(policies: Any) -> list[str]:
    return [p.name for p in policies]


def test_the_default_profile_is_upstreams() -> None:
    found = profile()
    assert names(found.filters) == [
        "NodeUnschedulable",
        "NodeName",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "NodeVolumeLimits",
        "VolumeBinding",
        "VolumeZone",
        "PodTopologySpread",
        "InterPodAffinity",
        "DynamicResources",
    ]
    assert {p.name: weight for p, weight in found.scorers} == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "VolumeBinding": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "DynamicResources": 2,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }
    assert names(found.post_filters) == ["DynamicResources", "DefaultPreemption"]
    assert names(found.binds) == ["DefaultBinder"]


def test_a_policy_can_be_switched_off_at_one_point_or_everywhere() -> None:
    off = {"disabled": [{"name": "InterPodAffinity"}]}
    at_score = profile({"score": off})
    assert "InterPodAffinity" not in [p.name for p, _ in at_score.scorers]
    assert "InterPodAffinity" in names(at_score.filters)
    assert "InterPodAffinity" not in profile({"multiPoint": off}).policies


def test_everything_can_be_switched_off_at_a_point() -> None:
    found = profile({"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 7}]}})
    assert [(p.name, w) for p, w in found.scorers] == [("ImageLocality", 7)]


def test_weights_are_given_per_profile() -> None:
    found = profile({"multiPoint": {"enabled": [{"name": "NodeAffinity", "weight": 9}]}})
    assert {p.name: w for p, w in found.scorers}["NodeAffinity"] == 9
    assert names(found.filters).index("NodeAffinity") == 3


def test_a_policy_named_at_a_point_goes_first_there() -> None:
    found = profile({"filter": {"enabled": [{"name": "PodTopologySpread"}]}})
    assert names(found.filters)[0] == "PodTopologySpread"
    assert names(found.filters).count("PodTopologySpread") == 1


class Extra(Policy):
    name = "Extra"

    def filter(self, *_: Any) -> Status | None:
        return None


def test_a_policy_that_is_no_default_takes_part_only_where_it_is_enabled() -> None:
    policies = [*POLICIES, Extra]
    assert "Extra" not in profile(policies=policies).policies
    assert names(profile({"multiPoint": {"enabled": [{"name": "Extra"}]}}, policies=policies).filters)[-1] == "Extra"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"apiVersion": "v1", "kind": "Pod"}, "apiVersion: 'v1' is not supported"),
        (HEAD | {"kind": "Pod"}, "kind: 'Pod' is not supported"),
        (HEAD | {"profils": []}, "profils: unknown field"),
        (HEAD | {"profiles": "x"}, "profiles: 'x' must be a list"),
        (HEAD | {"profiles": ["x"]}, "profiles[0]: 'x' must be an object"),
        (HEAD | {"profiles": [{"plugins": {"filters": {}}}]}, "profiles[0].plugins.filters: unknown field"),
        (HEAD | {"profiles": [{"plugins": {"filter": {"enabled": ["x"]}}}]}, "profiles[0].plugins.filter.enabled[0]"),
        (HEAD | {"profiles": [{"plugins": {"filter": {"enabled": [{}]}}}]}, "the name of a policy is required"),
        (
            HEAD | {"profiles": [{"plugins": {"score": {"enabled": [{"name": "a", "weight": -1}]}}}]},
            "must not be negative",
        ),
        (HEAD | {"profiles": [{"plugins": {"score": {"enabled": [{"name": "a"}, {"name": "a"}]}}}]}, "enabled twice"),
        (HEAD | {"profiles": [{}, {}]}, "profiles[1].schedulerName: 'default-scheduler' is used by another profile"),
        (HEAD | {"profiles": [{"pluginConfig": [{"name": "a"}, {"name": "a"}]}]}, "'a' is configured twice"),
        (HEAD | {"percentageOfNodesToScore": 101}, "percentageOfNodesToScore: 101 must be between 0 and 100"),
        (HEAD | {"percentageOfNodesToScore": "all"}, "percentageOfNodesToScore: 'all' must be a whole number"),
        (HEAD | {"podInitialBackoffSeconds": 0}, "podInitialBackoffSeconds: 0 must be greater than 0"),
        (HEAD | {"podInitialBackoffSeconds": -1}, "podInitialBackoffSeconds: -1 must be greater than 0"),
        (HEAD | {"podInitialBackoffSeconds": 20}, "podMaxBackoffSeconds: 10 must not be less"),
        (HEAD | {"extenders": [{"urlPrefix": "http://x"}]}, "extenders: scheduler extenders are not supported"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(data: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError) as found:
        load(data)
    assert error in str(found.value)


@pytest.mark.parametrize(
    ("plugins", "args", "error"),
    [
        ({"filter": {"enabled": [{"name": "Nonsense"}]}}, {}, "there is no scheduling policy 'Nonsense'"),
        ({}, {"Nonsense": {}}, "pluginConfig: there is no scheduling policy 'Nonsense'"),
        ({"bind": {"disabled": [{"name": "*"}]}}, {}, "at least one policy must bind"),
        ({"queueSort": {"disabled": [{"name": "*"}]}}, {}, "exactly one policy must sort the queue"),
        ({"bind": {"enabled": [{"name": "NodeName"}]}}, {}, "'NodeName' does not take part in bind"),
        ({}, {"NodeResourcesFit": {"scoringStrategy": {"type": "Best"}}}, "'Best' is not supported"),
        ({}, {"NodeResourcesFit": {"nonsense": 1}}, "unknown field 'nonsense'"),
        ({}, {"InterPodAffinity": {"hardPodAffinityWeight": 101}}, "must be between 0 and 100"),
        ({}, {"PodTopologySpread": {"defaultingType": "Some"}}, "must be System or List"),
        ({}, {"PodTopologySpread": {"defaultConstraints": [{}]}}, "may not be given"),
        (
            {},
            {
                "PodTopologySpread": {
                    "defaultingType": "List",
                    "defaultConstraints": [{"topologyKey": "a", "maxSkew": 0}],
                }
            },
            "maxSkew: 0 must be greater than zero",
        ),
        ({}, {"DefaultPreemption": {"minCandidateNodesPercentage": 101}}, "must be between 0 and 100"),
        ({}, {"VolumeBinding": {"bindTimeoutSeconds": -1}}, "must not be negative"),
    ],
)
def test_profiles_that_make_no_sense_are_refused(plugins: Any, args: Any, error: str) -> None:
    with pytest.raises(ValueError) as found:
        profile(plugins, args)
    assert error in str(found.value)


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two scheduling policies are named 'Extra'"):
        profile(policies=[*POLICIES, Extra, Extra])


def test_what_means_nothing_here_is_accepted_with_a_warning() -> None:
    config = load(HEAD | {"parallelism": 16, "leaderElection": {"leaderElect": False}})
    assert config.warnings == (
        "parallelism is ignored: one cycle runs at a time",
        "leaderElection is ignored: the cluster elects its scheduler itself",
    )


def test_a_file_is_yaml_or_json(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.yaml"
    file.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\npodMaxBackoffSeconds: 20\n"
        "profiles:\n- schedulerName: packer\n  percentageOfNodesToScore: 30\n"
    )
    config = read(file)
    assert (config.max_backoff, config.profiles[0].scheduler_name, config.profiles[0].percentage_of_nodes) == (
        20,
        "packer",
        30,
    )
    file.write_text("profiles: [")
    with pytest.raises(ValueError, match=r"scheduler\.yaml"):
        read(file)
