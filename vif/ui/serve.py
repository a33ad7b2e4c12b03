"""Starts the page: loads the model, builds the page around it and serves it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import tempfile
import threading
from pathlib import Path

from vif import bundled
from vif.errors import InputError
from vif.session import Session
from vif.ui.guard.origin import is_loopback
from vif.ui.guard.turns import Turns
from vif.ui.page import build_api, build_demo
from vif.ui.theme import launch_options
from vif.ui.zero import load_here, move_to_gpu

MAX_UPLOAD = "30mb"
# A Space is behind proxies with private addresses. They append the visitor's address to
# X-Forwarded-For, so the last one that is not theirs counts: earlier ones come from the visitor.
SPACE_PROXIES = "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"


def serve(args: argparse.Namespace) -> None:
    """Serves the page until it is interrupted.

    Args:
        args: The flags of `vif.commands.serve.add_flags`.

    Raises:
        InputError: If the model cannot be loaded or the page cannot be served there.
    """
    check_address(args.host, args.port)
    if os.environ.get("SPACE_ID"):
        os.environ.setdefault("FORWARDED_ALLOW_IPS", SPACE_PROXIES)
    session = load_session(args)
    # Uploads of this process alone: other Gradio apps share one folder, and each could be asked for
    # what was uploaded to any of them.
    with tempfile.TemporaryDirectory(prefix="vif-lens-", ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        turns = Turns(args.request_seconds)
        if args.api_only:
            demo = build_api(session, turns)
        else:
            demo = build_demo(
                session,
                assets=assets(),
                model_box=has_model_box(args),
                models=args.models,
                turns=turns,
            )
        try:
            demo.launch(
                server_port=args.port,
                max_file_size=MAX_UPLOAD,
                prevent_thread_lock=True,
                # Where `pip install vif-lens[mcp]` has put it; a Space has it.
                mcp_server=importlib.util.find_spec("mcp") is not None,
                **launch_options(args.host),
            )
            threading.Event().wait()
        finally:
            demo.close()


def assets() -> Path:
    """Folder of the examples, results and trainings that the page shows."""
    return bundled.path("examples").parent


def has_model_box(args: argparse.Namespace) -> bool:
    """Whether visitors may load other models; by default those of this machine only."""
    if args.model_box is None:
        # Strangers must not fill the disk, nor learn what is on it.
        return is_loopback(args.host) and not os.environ.get("SPACE_ID")
    return args.model_box


def load_session(args: argparse.Namespace) -> Session:
    """Loads the page's model; on ZeroGPU it is prepared for the GPU."""
    name = args.model_path
    is_own = args.adapter is None and name is not None and bundled.is_model(name)
    session = load_here(None if is_own else name, adapter=args.adapter)
    move_to_gpu(session)
    return session


def check_address(host: str, port: int) -> None:
    """Checks, before a model is loaded, that the page can be served at an address.

    Raises:
        InputError: If it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = str(error.strerror).partition(" (while ")[0]
        raise InputError(
            f"The page cannot be served at {host}, port {port} ({why}): choose another "
            "address with --host and --port."
        ) from error
