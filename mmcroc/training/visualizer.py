"""A visualiser that imports matplotlib when something is drawn with it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from mmpretrain.visualization import UniversalVisualizer

from mmcroc.registry import VISUALIZERS


@VISUALIZERS.register_module()
class DeferredVisualizer(UniversalVisualizer):
    """MMPretrain's visualiser whose figure is made for the first image that is drawn on.

    Scalars, configs and finished pictures go to the backends without it, which is all that
    pretraining does: its start need not wait for matplotlib. Arguments are those of
    ``UniversalVisualizer``.
    """

    ax_save: Any

    def set_image(self, image: np.ndarray) -> None:
        """Set the image, uint8 RGB (H, W, 3), to draw on."""
        if self.ax_save is None:
            figure = super()._initialize_fig(self.fig_save_cfg)
            self.fig_save_canvas, self.fig_save, self.ax_save = figure
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)

    def _initialize_fig(self, fig_cfg: dict) -> tuple[None, SimpleNamespace, None]:
        """Canvas, figure and axes of one that is not made yet; its dots per inch are asked for."""
        return None, SimpleNamespace(get_dpi=lambda: None), None
