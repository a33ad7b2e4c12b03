"""A page for `tests.soak`: prints how to click Run, and serves until its input ends."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import gradio as gr

from tests.support.tiny import tiny_session
from vif.check import TINY, tiny_adapter, tiny_backbone
from vif.session import Session, load
from vif.ui import build_demo, launch_options


def main(assets: Path, tokens: int, model: str = "tiny") -> None:
    """Serves the page.

    Args:
        assets: An empty folder.
        tokens: Length of the answers on the page: a random model never ends one itself.
        model: A tiny random one, the bundled one, or the tiny random one of a family.
    """
    # The refused calls of a soak are meant, and their lines would stand between those of its curve.
    logging.getLogger("vif.ui").setLevel(logging.ERROR)
    if model in TINY:
        session = Session(tiny_backbone(model), tiny_adapter())
    else:
        session = tiny_session() if model == "tiny" else load()
    demo = build_demo(session, assets=assets)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    run = next(fn for fn in demo.fns.values() if fn.name == "run")
    values = [None if isinstance(c, gr.State) else c.value for c in run.inputs]
    place = {getattr(c, "elem_id", None): i for i, c in enumerate(run.inputs)}
    values[place["question"]], values[place["longest"]] = "what is this ?", tokens
    page = {"url": url, "fn": run._id, "values": values, "image": place["picture"]}
    sys.stdout.write(json.dumps(page, default=str) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    demo.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
