"""VIF's trained part: a conditional VAE that decodes into a Gaussian mixture over the image."""

from vif.adapter.base import VIFAdapter, build
from vif.adapter.config import VIFConfig
from vif.adapter.published import PublishedVIF

__all__ = ["PublishedVIF", "VIFAdapter", "VIFConfig", "build"]
