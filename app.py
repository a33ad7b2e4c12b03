"""The Space's entry: parse arguments, load a session, build the page, launch."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import math
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

# Read by Gradio and by the model library when they are imported: nothing leaves this machine
# unless a model is asked for by a name that is not on it.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
# On a Space with ZeroGPU, before PyTorch, which it patches.
with contextlib.suppress(ImportError):
    import spaces  # noqa: F401

import vif
from vif.ui import build_demo, launch_options
from vif.ui.guard import Turns
from vif.ui.guard.origin import is_loopback
from vif.ui.guard.turns import REQUEST_SECONDS
from vif.ui.zero import is_gpu_space, on_gpu

ASSETS = Path(__file__).parent / "assets"
DEFAULT_MODEL = ASSETS / "demo-vlm"
DEFAULT_ADAPTER = ASSETS / "demo-vif"
# On a Space with a GPU; it has no adapter and is steered by training-free VIF.
GPU_MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"
MAX_UPLOAD = "30mb"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line as a namespace.

    What is not given comes from the environment: ``HOST``, ``PORT``, ``VIF_MODEL``, ``VIF_ADAPTER``
    and ``VIF_MODELS``, so that a copied Space shows another model with its code as it is.

    Args:
        argv: Arguments without the program's name; the process's own by default.
    """
    # A Space is reached through a proxy; anywhere else the page is for this machine only.
    default_host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    parser = argparse.ArgumentParser(description="VIF Lens: one model, asked twice.")
    parser.add_argument(
        "--model-path",
        default=os.environ.get("VIF_MODEL") or (GPU_MODEL if is_gpu_space() else DEFAULT_MODEL),
        help="folder or hub name of a vision-language model (default: the bundled one, on a Space "
        f"with a GPU {GPU_MODEL})",
    )
    parser.add_argument(
        "--adapter",
        default=os.environ.get("VIF_ADAPTER") or None,
        help="folder of a VIF adapter for that model (default: the bundled one's, if it is used)",
    )
    parser.add_argument(
        "--models",
        type=read_models,
        default=os.environ.get("VIF_MODELS", ""),
        help="models that every visitor may load, with commas between them; with an adapter: "
        "model=adapter",
    )
    parser.add_argument("--host", default=os.environ.get("HOST", default_host))
    parser.add_argument("--port", type=_port, default=os.environ.get("PORT", "7860"))
    parser.add_argument(
        "--model-box",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let visitors load other models and open folders of this machine (default: yes where "
        "the page is for this machine only, and not on a Space)",
    )
    parser.add_argument(
        "--request-seconds",
        type=_seconds,
        default=REQUEST_SECONDS,
        help="how long the model may work for one request (default: %(default)g)",
    )
    arguments = parser.parse_args(argv)
    if arguments.model_box is None:
        # Strangers must not fill the disk, nor learn what is on it.
        arguments.model_box = is_loopback(arguments.host) and not os.environ.get("SPACE_ID")
    if arguments.adapter is None and str(arguments.model_path) == str(DEFAULT_MODEL):
        arguments.adapter = str(DEFAULT_ADAPTER) if DEFAULT_ADAPTER.is_dir() else None
    return arguments


def read_models(text: str) -> list[tuple[str, str]]:
    """Returns what ``model, model=adapter`` names, as pairs; no adapter is empty."""
    pairs = (entry.partition("=") for entry in text.split(","))
    return [(name.strip(), adapter.strip()) for name, _, adapter in pairs if name.strip()]


def load_session(arguments: argparse.Namespace) -> vif.Session:
    """Returns the page's model; on ZeroGPU it answers where the GPU is."""
    session = vif.load(arguments.model_path, adapter=arguments.adapter)
    return on_gpu(session, arguments.request_seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Loads the model once and serves the page until it is interrupted.

    Returns:
        The exit status: 2 if it cannot start, with one sentence on why; 130 after Ctrl-C.
    """
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        serve(parse_arguments(argv))
    except (vif.InputError, OSError) as error:
        words = str(error).splitlines()[0]
        sys.stderr.write(f"VIF Lens cannot start. {words}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
    return 130


def serve(arguments: argparse.Namespace) -> None:
    """Serves the page until it is interrupted.

    Raises:
        InputError: If the model cannot be loaded or the page cannot be served there.
    """
    check_free(arguments.host, arguments.port)
    if str(arguments.model_path) == str(DEFAULT_MODEL) and not Path(DEFAULT_MODEL).is_dir():
        raise vif.InputError(
            f"The bundled model is missing: there is no folder {DEFAULT_MODEL}. Clone the "
            "repository again, or name another model with --model-path."
        )
    session = load_session(arguments)
    # Uploads of this process alone: other Gradio apps share one folder, and each could be asked for
    # what was uploaded to any of them.
    with tempfile.TemporaryDirectory(prefix="vif-lens-", ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        demo = build_demo(
            session,
            assets=ASSETS,
            model_box=arguments.model_box,
            models=arguments.models,
            turns=Turns(arguments.request_seconds),
        )
        try:
            demo.launch(
                server_port=arguments.port,
                max_file_size=MAX_UPLOAD,
                prevent_thread_lock=True,
                # Where `pip install vif-lens[mcp]` has put it; a Space has it.
                mcp_server=importlib.util.find_spec("mcp") is not None,
                **launch_options(arguments.host),
            )
            threading.Event().wait()
        finally:
            demo.close()


def check_free(host: str, port: int) -> None:
    """Makes sure that the page can be served somewhere, before a model is loaded.

    Raises:
        InputError: If it cannot.
    """
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        raise vif.InputError(
            f"The page cannot be served at {host}, port {port} ({error.strerror}): choose another "
            "place with --host and --port."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _port(value: str) -> int:
    """A number from the command line or the environment as a port."""
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        raise argparse.ArgumentTypeError(f"{value[:20]!r} is no port: use 1 to 65535")
    return int(value)


def _seconds(value: str) -> float:
    """A number from the command line as a time."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{value[:20]!r} is no time: use seconds, more than 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
