"""The Space's entry: parse arguments, load a session, build the page, launch."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Read by Gradio and by the model library when they are imported: nothing leaves this machine
# unless a model is asked for by a name that is not on it.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import vif
from vif.ui import build_demo, launch_options
from vif.ui.guard import Turns
from vif.ui.guard.origin import is_loopback
from vif.ui.guard.turns import REQUEST_SECONDS

ASSETS = Path(__file__).parent / "assets"
DEFAULT_MODEL = ASSETS / "demo-vlm"
DEFAULT_ADAPTER = ASSETS / "demo-vif"
MAX_UPLOAD = "30mb"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line as a namespace; ``HOST`` and ``PORT`` are read from the environment.

    Args:
        argv: Arguments without the program's name; the process's own by default.
    """
    # A Space is reached through a proxy; anywhere else the page is for this machine only.
    default_host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    parser = argparse.ArgumentParser(description="VIF Lens: one model, asked twice.")
    parser.add_argument(
        "--model-path",
        default=str(DEFAULT_MODEL),
        help="folder or hub name of a vision-language model (default: the bundled one)",
    )
    parser.add_argument(
        "--adapter",
        default=None,
        help="folder of a VIF adapter for that model (default: the bundled one's, if it is used)",
    )
    parser.add_argument("--host", default=os.environ.get("HOST", default_host))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "7860")))
    parser.add_argument(
        "--model-box",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let visitors load other models and open folders of this machine (default: yes where "
        "the page is for this machine only, and not on a Space)",
    )
    parser.add_argument(
        "--request-seconds",
        type=float,
        default=REQUEST_SECONDS,
        help="how long the model may work for one request (default: %(default)g)",
    )
    arguments = parser.parse_args(argv)
    if arguments.model_box is None:
        # Strangers must not fill the disk, nor learn what is on it.
        arguments.model_box = is_loopback(arguments.host) and not os.environ.get("SPACE_ID")
    if arguments.adapter is None and arguments.model_path == str(DEFAULT_MODEL):
        arguments.adapter = str(DEFAULT_ADAPTER) if DEFAULT_ADAPTER.is_dir() else None
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Loads the model once and serves the page until it is interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    arguments = parse_arguments(argv)
    try:
        session = vif.load(arguments.model_path, adapter=arguments.adapter)
    except vif.InputError as error:
        raise SystemExit(f"VIF Lens cannot start. {error}") from error
    # Uploads of this process alone: other Gradio apps share one folder, and each could be asked for
    # what was uploaded to any of them.
    with tempfile.TemporaryDirectory(prefix="vif-lens-", ignore_cleanup_errors=True) as uploads:
        os.environ.setdefault("GRADIO_TEMP_DIR", uploads)
        demo = build_demo(
            session,
            assets=ASSETS,
            model_box=arguments.model_box,
            turns=Turns(arguments.request_seconds),
        )
        demo.launch(
            server_port=arguments.port,
            max_file_size=MAX_UPLOAD,
            **launch_options(arguments.host),
        )


if __name__ == "__main__":
    main()
