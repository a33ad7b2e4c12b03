"""A port that nothing listens on."""

import socket


def free_port():
    """One that the system gives; another program may take it first."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
