"""Composes a running cluster from its configuration."""
