"""What a dense model makes of an image, in pictures.

Every painter has ``paint(example)``, which gives pictures by title, the same titles for every
image: the columns of a sheet.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mmcroc.croc.assignments import cluster_labels
from mmcroc.croc.clustering import patch_positions
from mmcroc.data.sample_seed import seeded_generators
from mmcroc.features.dense_model import model_inputs
from mmcroc.features.vision_transformer import cls_attention
from mmcroc.numerics.pca import PCA, RunningMoments, fit_pca
from mmcroc.pictures.label_maps import overlay
from mmcroc.pictures.sheets import photo

if TYPE_CHECKING:
    from mmcroc.croc.target_generator import OnlineClustering
    from mmcroc.croc.views import TwoViews

#: Colours of the crops of the first and the second view, and the width of their lines, pixels.
CROP_COLOURS, LINE_WIDTH = ((255, 220, 0), (0, 220, 255)), 2
#: Longer side of a picture, pixels.
SIDE = 240


class Example(NamedTuple):
    """An image and two views of it.

    Attributes:
        image: Image, uint8 RGB (H, W, 3).
        views: Two views, uint8 RGB (S, S, 3), or None.
        view_boxes: Crop boxes x0, y0, w, h in the image's pixels and flips, float32 (2, 5), or
            None.
    """

    image: np.ndarray
    views: list[np.ndarray] | None = None
    view_boxes: np.ndarray | None = None


def draw_views(image: np.ndarray, two_views: 'TwoViews', *entropy: int) -> Example:
    """Cut two views of an image, uint8 RGB (H, W, 3), always the same ones, as training does.

    ``entropy`` is a seed and numbers that tell samples apart, at least 0.
    """
    with seeded_generators(*entropy):
        results = two_views.transform(dict(img=image))
    return Example(image, results['img'], results['view_boxes'])


def tapped_backbone(model: Any) -> Any:
    """Find the Vision Transformer in a model whose attention can be looked at; None without one.

    CrOC's is the teacher, which finds the clusters and gets evaluated.
    """
    backbone = model.teacher['backbone'] if hasattr(model, 'teacher') else model.backbone
    candidates = (backbone, getattr(backbone, 'model', None))  # of a PretrainedBackbone
    return next((one for one in candidates if hasattr(one, 'forward_tapped')), None)


def photo_of(image: np.ndarray) -> Image.Image:
    """Show an image, uint8 RGB (H, W, 3), its longer side ``SIDE`` pixels."""
    return photo(image, SIDE)


def heat_map(values: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Paint numbers (h, w) from 0 (black) over red and yellow to the greatest (white).

    At a width and height in pixels; what is coarse stays coarse.
    """
    share = values / max(float(values.max()), np.finfo(np.float32).tiny)
    ramp = np.clip(3 * share[..., None] - np.arange(3), 0, 1)
    picture = Image.fromarray(np.round(255 * ramp).astype(np.uint8))
    return picture.resize(size, Image.Resampling.NEAREST)


def outlined(picture: Image.Image, box: Sequence[int], colour: tuple[int, int, int]) -> Image.Image:
    """Draw a line inside of a box (left, top, right, bottom), right and bottom excluded."""
    painted = picture.copy()
    left, top, right, bottom = box
    corners = (left, top, right - 1, bottom - 1)
    ImageDraw.Draw(painted).rectangle(corners, outline=colour, width=LINE_WIDTH)
    return painted


def crops_on_image(
    photo: Image.Image, source_size: tuple[int, int], view_boxes: np.ndarray
) -> Image.Image:
    """Draw the views' crops as boxes; their lines lie inside of the crops.

    Args:
        photo: RGB picture of the image at any size.
        source_size: Width and height of the image that was cropped, pixels.
        view_boxes: Crop boxes x0, y0, w, h in source pixels and flips, (2, 5).
    """
    scale = np.tile(np.array(photo.size) / source_size, 2)
    for (x0, y0, w, h, _), colour in zip(view_boxes, CROP_COLOURS, strict=True):
        box = np.round(scale * (x0, y0, x0 + w, y0 + h)).astype(int).tolist()
        photo = outlined(photo, box, colour)
    return photo


class TokenColours:
    """Principal components of many images' tokens as red, green and blue.

    One projection serves all images, so that a colour means the same in each: the mean is
    removed, the three directions of greatest variance become the channels, and the 1st to the
    99th percentile of each channel over all images its range of 0 to 255.

        colours = TokenColours()
        for tokens in maps:                        # (C, h, w) each
            colours.update(tokens)
        colours.fit()
        pictures = [colours.paint(tokens) for tokens in maps]

    The principal components are exact; percentiles are taken of an even sample once there are
    more than ``MAX_SAMPLE`` tokens, so that memory stays bounded.
    """

    MAX_SAMPLE = 2**16
    PERCENTILES = (0.01, 0.99)

    def __init__(self) -> None:
        self.moments: RunningMoments | None = None
        self.sample: list[Tensor] = []
        self.sampled, self.step = 0, 1
        self.pca: PCA | None = None

    def update(self, tokens: Tensor) -> 'TokenColours':
        """Take an image's tokens (C, h, w) into account; a ValueError for NaN or another C."""
        flat = tokens.detach().flatten(1).T.float()
        if self.moments is None:
            self.moments = RunningMoments(flat.shape[1], flat.device)
        self.moments.update(flat)
        self.sample.append(flat[:: self.step].cpu())
        self.sampled += len(self.sample[-1])
        while self.sampled > self.MAX_SAMPLE:
            self.step *= 2
            self.sample = [torch.cat(self.sample)[::2]]
            self.sampled = len(self.sample[0])
        return self

    def fit(self) -> 'TokenColours':
        """Find components and ranges; a ValueError of fewer than 4 tokens or 3 channels."""
        if self.moments is None:
            raise ValueError('TokenColours.fit() needs tokens: call update() first')
        self.pca = fit_pca(self.moments, 3, standardize=False)
        sample = self.pca.transform(torch.cat(self.sample)).numpy()
        self.low, self.high = np.quantile(sample, self.PERCENTILES, axis=0)
        return self

    def paint(self, tokens: Tensor) -> np.ndarray:
        """Colour an image's tokens: (C, h, w) to uint8 RGB (h, w, 3), after :meth:`fit`."""
        assert self.pca is not None
        channels = self.pca.transform(tokens.detach().permute(1, 2, 0).cpu()).numpy()
        extent = np.maximum(self.high - self.low, np.finfo(np.float32).tiny)
        shares = np.clip((channels - self.low) / extent, 0, 1)
        return np.round(255 * shares).astype(np.uint8)


class PCAPainter:
    """Principal components of the tokens as colours, one projection for all images.

    The model has ``extract_feat`` and ``data_preprocessor``, tokens of ``stride`` pixels, and sees
    images of ``longer_side``.
    """

    def __init__(self, model: Any, stride: int, longer_side: int) -> None:
        self.model, self.stride, self.longer_side = model, stride, longer_side
        self.colours = TokenColours()

    def update(self, example: Example) -> None:
        """Take an image into the projection."""
        self.colours.update(self._tokens(example))

    def fit(self) -> None:
        """Make the projection, before anything is painted."""
        self.colours.fit()

    def paint(self, example: Example) -> dict[str, Image.Image]:
        """Paint the tokens of an image."""
        picture = Image.fromarray(self.colours.paint(self._tokens(example)))
        size = photo_of(example.image).size
        return {'PCA of tokens': picture.resize(size, Image.Resampling.NEAREST)}

    @torch.no_grad()
    def _tokens(self, example: Example) -> torch.Tensor:
        """Tokens (C, h, w) of an image."""
        inputs = model_inputs(self.model, example.image, self.stride, self.longer_side)
        return self.model.extract_feat(inputs)[0][0]


class AttentionPainter:
    """Attention of [CLS] to the patches in the last block: the heads' mean, then each head.

    Each map is scaled by its own greatest value; [CLS]'s attention to itself is left out. The model
    has ``data_preprocessor`` and a :func:`tapped_backbone`; it sees images of ``longer_side``.
    """

    def __init__(self, model: Any, longer_side: int) -> None:
        self.model, self.longer_side = model, longer_side
        self.backbone = tapped_backbone(model)

    def paint(self, example: Example) -> dict[str, Image.Image]:
        """Paint the attention to an image's patches."""
        maps = self.attention(example.image)
        size = photo_of(example.image).size
        pictures = {'[CLS], mean of heads': heat_map(maps.mean(0), size)}
        for head, values in enumerate(maps):
            pictures[f'[CLS], head {head}'] = heat_map(values, size)
        return pictures

    @torch.no_grad()
    def attention(self, image: np.ndarray) -> np.ndarray:
        """Compute the attention to the patches, float32 (heads, h, w)."""
        inputs = model_inputs(self.model, image, self.backbone.patch_size, self.longer_side)
        # One feature at a time is what training taps: all blocks but the last pass once for both.
        passed = self.backbone.num_blocks - 1
        partway = self.backbone.first_blocks(inputs, passed) if passed else None
        query, key = (
            self.backbone.forward_tapped(inputs, feature, partway).attention
            for feature in ('q', 'k')
        )
        grid = self.backbone.grid_size(inputs)
        patches = cls_attention(query, key)[0, :, -grid[0] * grid[1] :]
        return patches.unflatten(-1, grid).cpu().numpy()


class ClusterPainter:
    """Clusters found jointly in two views: crops on the image, the views, their clusters.

    A colour is the same cluster in both views; clusters that only one view has are grey, since
    training leaves them out. Each image is a batch by itself: with ``cost_scaling='batch'`` its
    attention heads share a scale, in training those of the other images too.

    Args:
        model: Model with ``data_preprocessor`` and a :func:`tapped_backbone`.
        clustering: Clustering of training.
        heads: Attention heads to show; each has its clusters.
        seed: Seed of the clusters' first tokens, the same for each image.
    """

    def __init__(
        self,
        model: Any,
        clustering: 'OnlineClustering',
        heads: Sequence[int] = (0,),
        seed: int = 0,
    ) -> None:
        self.model, self.clustering = model, clustering
        self.heads, self.seed = tuple(heads), seed
        self.backbone = tapped_backbone(model)
        number = self.backbone.num_heads if clustering.tap else 1
        if not all(0 <= head < number for head in self.heads):
            raise ValueError(
                f'heads {list(self.heads)}: clusters of {clustering.feature!r} have heads 0 to '
                f'{number - 1}'
            )

    def paint(self, example: Example) -> dict[str, Image.Image]:
        """Paint crops, views and their clusters."""
        assert example.views is not None and example.view_boxes is not None
        labels = self.labels(example)
        size = example.image.shape[1::-1]
        crops = crops_on_image(photo_of(example.image), size, example.view_boxes)
        pictures = {'crops': crops}
        views = [Image.fromarray(view).resize((SIDE, SIDE)) for view in example.views]
        for number, (view, colour) in enumerate(zip(views, CROP_COLOURS, strict=True), 1):
            pictures[f'view {number}'] = outlined(view, (0, 0, SIDE, SIDE), colour)
        for head in self.heads:
            for number, view in enumerate(views, 1):
                title = f'view {number}, clusters of head {head}'
                pictures[title] = overlay(view, labels[number - 1, head])
        return pictures

    @torch.no_grad()
    def labels(self, example: Example) -> np.ndarray:
        """Find the clusters of both views' patches, int64 (2, heads, h, w), -1 where grey."""
        assert example.views is not None and example.view_boxes is not None
        views = torch.from_numpy(np.stack(example.views)).permute(0, 3, 1, 2)
        inputs = self.model.data_preprocessor(dict(inputs=views))['inputs']
        boxes = torch.from_numpy(example.view_boxes)[:, None].to(inputs.device)
        grid = self.backbone.grid_size(inputs)
        found = self.backbone.forward_tapped(inputs, self.clustering.tap)
        with seeded_device(self.seed, inputs.device):
            assignments = self.clustering(found, patch_positions(boxes, grid))
        return cluster_labels(assignments)[:, 0].unflatten(-1, grid).cpu().numpy()


@contextmanager
def seeded_device(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators of the host and of a device for a while; then they go on as before."""
    with seeded_generators(seed):
        if device.type != 'cuda':
            yield
            return
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
