"""The `kybern` command."""
