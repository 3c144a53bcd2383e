"""Revisions in one total order, and the watch cache that all reads are answered from."""
