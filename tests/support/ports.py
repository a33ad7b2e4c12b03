"""A port that nothing listens on."""

import socket


def free_port():
    """A free port from the system; another program may take it first."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
