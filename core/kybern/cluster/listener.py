"""The socket on which the API server of a cluster listens."""

from __future__ import annotations

import socket

from kybern.config import APIConfig, ConfigError

__all__ = ["listen", "url"]


def listen(api: APIConfig, last_port: int) -> socket.socket:
    """A listening socket on `api.address` and `api.port`; ConfigError when somebody else has it.

    When any port will do it is `last_port`, so that kubeconfigs stay right, unless that is taken by now.
    """
    family = socket.AF_INET6 if ":" in api.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _bind(listening, api, last_port)
    except OSError as e:
        listening.close()
        raise ConfigError(
            f"api.port: cannot listen on {api.address}:{api.port}: {e.strerror}; "
            "choose another with --port, or stop what listens there"
        ) from None
    listening.listen(1024)
    listening.setblocking(False)
    return listening


def _bind(listening: socket.socket, api: APIConfig, last_port: int) -> None:
    if not api.port and last_port:
        try:
            return listening.bind((api.address, last_port))
        except OSError:  # somebody else has it by now
            pass
    listening.bind((api.address, api.port))


def url(listening: socket.socket, address: str) -> str:
    """Where clients on this machine find it."""
    host = "127.0.0.1" if address in ("0.0.0.0", "::") else f"[{address}]" if ":" in address else address
    return f"https://{host}:{listening.getsockname()[1]}"
