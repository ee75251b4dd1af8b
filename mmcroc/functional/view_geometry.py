"""Where the patches of a view lie in the source image."""

import torch
from torch import Tensor


def patch_positions(view_boxes: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Positions of a view's patch centres, in pixels of the source image.

    A patch column c of g columns lies at ``x = x0 + w (c + 1/2) / g - 1/2``, columns read in
    reverse if the view was flipped; rows likewise, never flipped. Against warping a map of
    coordinates through the same crop and resize this is exact to less than 0.01 px.

    Args:
        view_boxes: (..., 5), crop box x0, y0, w, h in source pixels and the flip bit.
        grid_size: Rows and columns of patches.

    Returns:
        (..., rows * columns, 2), x and y, patches row by row, float32.
    """
    if view_boxes.shape[-1] != 5:
        raise ValueError(
            f'view_boxes must end in 5 numbers (x0, y0, w, h, flip), got {tuple(view_boxes.shape)}'
        )
    rows, columns = grid_size
    x0, y0, w, h, flip = view_boxes.float().unsqueeze(-1).unbind(-2)  # each (..., 1)
    across = (torch.arange(columns, device=view_boxes.device) + 0.5) / columns
    down = (torch.arange(rows, device=view_boxes.device) + 0.5) / rows
    x = x0 + w * torch.where(flip > 0.5, 1 - across, across) - 0.5
    y = y0 + h * down - 0.5
    grid = torch.broadcast_tensors(x.unsqueeze(-2), y.unsqueeze(-1))  # each (..., rows, columns)
    return torch.stack(grid, dim=-1).flatten(-3, -2)
