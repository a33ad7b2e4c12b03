"""The commands of ``python -m vif``, one file each.

`add` puts a command's flags among the others'; `run` takes what was parsed and returns an exit
status, or None for 0.
"""

from __future__ import annotations

from vif.commands import (
    ask,
    attenuation,
    bench,
    benchmarks,
    check,
    compare_published,
    convert,
    models,
    open,
    probe,
    push,
    scenes,
    serve,
    speed,
    sweep,
    uncertainty,
)

COMMANDS = (
    ask, attenuation, bench, benchmarks, sweep, probe, speed, scenes, convert, compare_published,
    check, models, open, push, serve, uncertainty,
)  # fmt: skip
