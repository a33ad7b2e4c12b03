"""An adapter serves the model that it was made for."""

from dataclasses import replace

import pytest

from vif.adapter import VIFAdapter
from vif.check import tiny_adapter, tiny_backbone
from vif.errors import InputError
from vif.session import Session


@pytest.mark.parametrize("other", [{"hidden_size": 64}, {"num_layers": 5}, {"num_heads": 2}])
def test_an_adapter_of_another_shape_is_refused(other):
    adapter = VIFAdapter(replace(tiny_adapter().config, **other))
    with pytest.raises(InputError, match="load the adapter that was trained on this model"):
        Session(tiny_backbone("llava"), adapter)
