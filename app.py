"""The Space's entry: the page with the environment's model, or a real one where there is a GPU."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence

# Read by Gradio and by the model library when they are imported: nothing leaves this machine
# unless a model is asked for by a name that is not on it.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from vif.interrupts import ends_on_ctrl_c

with ends_on_ctrl_c():
    # On a Space with ZeroGPU, before PyTorch, which it patches.
    with contextlib.suppress(ImportError):
        import spaces  # noqa: F401  # pyright: ignore[reportMissingImports]

    from vif import bundled
    from vif.commands.flags.parser import Parser
    from vif.commands.serve import add_flags
    from vif.errors import exit_status
    from vif.model.checkpoints.catalogue import CPU_MODEL, GPU_MODEL
    from vif.ui.serve import serve
    from vif.ui.zero import is_gpu_space


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the command line as a namespace; the flags are those of ``vif serve``.

    Args:
        argv: Arguments without the program's name; the process's own by default.
    """
    parser = Parser(description="VIF Lens: one model, asked twice.")
    add_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.model_path is None and is_gpu_space():
        arguments.model_path = GPU_MODEL
    if os.environ.get("SPACE_ID") and not arguments.models:
        has_bundled = arguments.model_path is None
        arguments.models = [(CPU_MODEL if has_bundled else bundled.MODEL, "")]
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Loads the model once and serves the page until it is interrupted.

    Returns:
        The exit status: 2 if it cannot start, with one sentence on why; 130 after Ctrl-C.
    """
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    return exit_status(lambda: serve(parse_arguments(argv)), "VIF Lens cannot start.")


if __name__ == "__main__":
    sys.exit(main())
