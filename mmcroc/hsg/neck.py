"""HSG's pixel embedding, and the positions of its pixels."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmcroc.registry import MODELS


class LearnedPosition2d(nn.Module):
    """A learned embedding per column and per row, concatenated in this order.

    Training reads an entry per row (column) of the map: entry i belongs to the pixels under row i
    of the training network. ``trained``, a buffer, remembers how many entries that were and how
    many pixels they spanned. Any other map of an image, such as one of half the stride, reads the
    tables where the centres of its own rows lie among those of training,

        (i + ½) · (pixels of its row / pixels of an entry) - ½,

    linearly between two entries and never beyond the trained ones: those are random.

    Args:
        channels: Width of an embedding, half from columns, half from rows.
        num_positions: Number of entries of each table. Larger maps of training stretch them.

    Attributes:
        trained: (2, 2), int64, for rows, then for columns, the entries that training has read and
            the pixels that they spanned; 0 before any training.
    """

    trained: Tensor

    def __init__(self, channels: int, num_positions: int = 50):
        super().__init__()
        if channels % 2:
            raise ValueError(f'LearnedPosition2d: channels={channels} must be even')
        self.row = nn.Embedding(num_positions, channels // 2)
        self.column = nn.Embedding(num_positions, channels // 2)
        for table in (self.row, self.column):
            nn.init.uniform_(table.weight)
        self.register_buffer('trained', torch.zeros(2, 2, dtype=torch.long))

    def forward(self, height: int, width: int, image_size: tuple[int, int] | None = None) -> Tensor:
        """Positions (channels, height, width) of a map.

        ``image_size`` is the height and width, in pixels, of its image. By default the map is of
        training's stride: each row reads its entry.
        """
        image_height, image_width = image_size or (None, None)
        rows = self._read(0, self.row.weight, height, image_height)
        columns = self._read(1, self.column.weight, width, image_width)
        columns = columns.T[:, None].expand(-1, height, -1)
        return torch.cat([columns, rows.T[:, :, None].expand(-1, -1, width)])

    def remember(self, map_size: Sequence[int], image_size: Sequence[int]) -> None:
        """Note in ``trained`` what a step on maps and images of these sizes (rows, columns) reads.

        Nothing waits for the device.
        """
        for axis, table in enumerate((self.row.weight, self.column.weight)):
            if table.requires_grad:
                self.trained[axis, 0].clamp_(min=min(map_size[axis], len(table)))
                self.trained[axis, 1].clamp_(min=image_size[axis])

    def _read(self, axis: int, table: Tensor, size: int, pixels: int | None) -> Tensor:
        """Rows of a table (entries, C) for a map's axis: (size, C)."""
        if not pixels and size <= len(table):
            return table[:size]
        used = min(size, len(table))
        scale = torch.full((), used / size, device=table.device)
        last = torch.full((), used - 1.0, device=table.device)
        if pixels:
            entries, spanned = self.trained[axis].to(scale)
            known = entries > 0
            scale = torch.where(known, entries * pixels / (spanned.clamp(min=1) * size), scale)
            last = torch.where(known, entries - 1, last)
        place = (torch.arange(size, device=table.device) + 0.5) * scale - 0.5
        place = place.clamp(min=0).minimum(last)
        below = place.floor()
        return torch.lerp(
            table[below.long()], table[place.ceil().long()], (place - below).to(table)[:, None]
        )


@MODELS.register_module()
class HSGNeck(BaseModule):
    """From a backbone's last map to pixel embeddings: two 1x1 convolutions, and positions.

    Without convolutions, ``out_channels=None``, the map is the embedding.

    The convolutions start as torch's own do, uniform within ±1/√fan_in, as in the release.

    Args:
        in_channels: Number of channels of the backbone's map.
        hidden_channels: Number of channels between the convolutions; ``in_channels`` by default.
        out_channels: Number of channels of the embedding; None for no convolutions.
        num_positions: Number of entries of each table of :class:`LearnedPosition2d`.
        norm_cfg: Config of the norm after the first convolution, a batch norm by default.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        hidden_channels: int | None = None,
        out_channels: int | None = 128,
        num_positions: int = 50,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.projection: nn.Module | None = None
        if out_channels is not None:
            hidden_channels = hidden_channels or in_channels
            first = ConvModule(
                in_channels, hidden_channels, 1, bias=False, norm_cfg=norm_cfg or dict(type='BN')
            )
            self.projection = nn.Sequential(first, nn.Conv2d(hidden_channels, out_channels, 1))
            first.conv.reset_parameters()  # ConvModule's start is 2.4 times as large
        self.position = LearnedPosition2d(out_channels or in_channels, num_positions)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Embed the pixels of the last of the maps, (B, in_channels, h, w), not normalised."""
        return features[-1] if self.projection is None else self.projection(features[-1])
