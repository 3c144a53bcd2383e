"""Settings whose type is right and whose value means nothing are refused before a cluster is made."""

from __future__ import annotations

import pytest

from kybern.cluster.check import check
from kybern.config import Config, ConfigError, load

GROUP = '[[nodes.group]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[network]\nnode_port_range = "5-1"', "network.node_port_range: '5-1' is not a range of ports such as '30000-32767'"),
        ('[network]\nnode_port_range = "1-70000"', "network.node_port_range: '1-70000' is not a range of ports such as '30000-32767'"),
        ('[network]\npod_cidr = "10.0.0.0/33"', "network.pod_cidr: '10.0.0.0/33' is not an address range such as '10.244.0.0/16'"),
        ('[network]\nservice_cidr = "1.2.3.4"', "network.service_cidr: '1.2.3.4' has no room for services"),
        ('[network]\ncluster_domain = "Bad_Domain"', "network.cluster_domain: 'Bad_Domain' is not a DNS domain"),
        ('[api]\nnames = ["ok", "not ok"]', "api.names[1]: 'not ok' is neither a host name nor an address"),
        ('[nodes]\ncpu = "abc"', "nodes.cpu: 'abc' is not a quantity such as '8' or '16Gi'"),
        ('[nodes]\nmemory = "-1"', "nodes.memory: '-1' is not a quantity such as '8' or '16Gi'"),
        ("[nodes]\npods = -1", "nodes.pods: -1 is negative"),
        ('[[nodes.group]]\nname = "A_b"', "nodes.group[0].name: 'A_b' is not a DNS subdomain, as names of nodes are"),
        (GROUP + GROUP, "nodes.group[1].name: 'a' is there twice"),
        (GROUP + "count = -1", "nodes.group[0].count: -1 is negative"),
        (GROUP + 'labels = {"a b" = "c"}', "nodes.group[0].labels: a b=c is not a label: "),
        (GROUP + 'taints = ["x"]', "nodes.group[0].taints: 'x' is not of the form key=value:Effect"),
        (GROUP + 'taints = ["a b=c:NoSchedule"]', "nodes.group[0].taints: 'a b=c:NoSchedule' is not of the form key=value:Effect"),
    ],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused_with_its_place(tmp_path, text, message):
    file = tmp_path / "kybern.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        check(load(file, environ={}))
    assert str(refused.value).startswith(message)


def test_the_defaults_are_right():
    check(Config())
