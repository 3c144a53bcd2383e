"""`kybern break ...`: break things on purpose, to see them heal."""

from __future__ import annotations

import argparse
import urllib.parse

from kybern.cli import clusters

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Kill a container, stop a node as if its machine lost power, or give it back."""
    state = clusters.chosen(args.name)
    query = {"action": args.action}
    if args.action == "kill":
        query |= {"namespace": args.namespace, "pod": args.pod, "container": args.container}
        done = f"Killed {args.container or 'the first container'} of pod {args.namespace}/{args.pod}."
    else:
        query["node"] = args.node
        done = f"Node {args.node} {'has fallen silent' if args.action == 'stop' else 'is back'}."
    path = f"/kybern/break?{urllib.parse.urlencode(query)}"
    clusters.get(state, clusters.running(state), path, method="POST")
    print(done)
    return 0
