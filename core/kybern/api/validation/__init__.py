"""Rules that many kinds share: names, labels, object metadata, ports, IP addresses, selectors, resources.

A kind's `validate` calls these with the `Errors` it fills and the path it is at; the words are
those that Kubernetes users know.
"""
