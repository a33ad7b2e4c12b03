"""Injects a map that is known before the model runs."""

from __future__ import annotations

from typing_extensions import override

from vif.adapter.mixture import MixtureParameters
from vif.methods.vif import InjectingTap, SteeringMap
from vif.methods.vif_free import constant_gate


class GivenTap(InjectingTap):
    """Injects a map that needs no reading pass, at strength alpha on all heads."""

    @override
    def begin(self, start: int, length: int) -> None:
        """Prepares all layers before the prefill."""
        super().begin(start, length)
        if start > 0:
            return
        batch = self.batch
        nothing = batch.centres.new_zeros(batch.columns.shape)
        none = MixtureParameters(batch.centres[:, :0], nothing[:, :0], nothing[:, :0])
        draw = SteeringMap(none, nothing, constant_gate(self.request))
        self.inject(self.request.settings.injection_layers, -1, [draw])
