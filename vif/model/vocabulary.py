"""Hidden states as words: the logit lens."""

from __future__ import annotations

from typing import Any

import torch

from vif.errors import InputError


@torch.no_grad()
def read_words(model: Any, states: torch.Tensor) -> torch.Tensor:
    """What hidden states would say: log-probabilities over the vocabulary.

    The decoder's final norm and the output matrix, applied to the state of any layer (logit lens;
    nostalgebraist 2020).

    Args:
        model: A transformers model with a language head.
        states: (..., d).

    Returns:
        (..., V) float32.

    Raises:
        InputError: If the decoder's final norm is not known here.
    """
    norm, head = getattr(model.get_decoder(), "norm", None), model.get_output_embeddings()
    if norm is None or head is None:
        raise InputError(
            "The logit lens needs the final norm and the output matrix of the decoder, which "
            "cannot be found in this model."
        )
    states = states.to(head.weight.device, head.weight.dtype)
    return head(norm(states)).float().log_softmax(-1)
