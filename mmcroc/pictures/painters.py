"""What a dense model makes of an image, in pictures.

Every painter has ``paint(example)``, which gives pictures by title, the same titles for every
image: the columns of a sheet.
"""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from mmcroc.croc.clustering import cluster_labels, patch_positions
from mmcroc.data.sample_seed import seeded_generators
from mmcroc.features.dense_model import model_inputs
from mmcroc.features.vision_transformer import cls_attention
from mmcroc.pictures.heat_map import heat_map
from mmcroc.pictures.overlay import overlay
from mmcroc.pictures.token_colours import TokenColours
from mmcroc.pictures.view_crops import CROP_COLOURS, crops_on_image, frame

#: Longer side of a picture, pixels.
SIDE = 240


class Example(NamedTuple):
    """An image and two views of it.

    Attributes:
        image: uint8 RGB (H, W, 3).
        views: Two uint8 RGB (S, S, 3), or None.
        view_boxes: float32 (2, 5), crop box x0, y0, w, h in the image's pixels and flip; or None.
    """

    image: np.ndarray
    views: list | None = None
    view_boxes: np.ndarray | None = None


def draw_views(image, two_views, *entropy):
    """Draw two views of an image, always the same ones.

    Args:
        image (numpy.ndarray): uint8 RGB (H, W, 3).
        two_views (mmcroc.croc.TwoViews): As training has it, colours and all.
        *entropy (int): Seed and what else tells draws apart, at least 0.

    Returns:
        Example: The image and its views.
    """
    with seeded_generators(*entropy):
        results = two_views.transform(dict(img=image))
    return Example(image, results['img'], results['view_boxes'])


def tapped_backbone(model):
    """The Vision Transformer in a model whose attention can be looked at; None if there is none.

    Of CrOC the teacher, which is what finds the clusters and gets evaluated.
    """
    backbone = model.teacher['backbone'] if hasattr(model, 'teacher') else model.backbone
    backbone = getattr(backbone, 'model', backbone)  # of a PretrainedBackbone
    return backbone if hasattr(backbone, 'forward_tapped') else None


def photo_of(image):
    """An image as it is shown, its longer side ``SIDE`` pixels: PIL, RGB."""
    factor = SIDE / max(image.shape[:2])
    size = [max(1, round(factor * length)) for length in image.shape[1::-1]]
    return Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)


class PCAPainter:
    """Principal components of the tokens as colours, one projection for all images.

    Args:
        model: With ``extract_feat`` and ``data_preprocessor``.
        stride (int): Side of its tokens, pixels.
        longer_side (int): Images are resized to this for the model, pixels.
    """

    def __init__(self, model, stride, longer_side):
        self.model, self.stride, self.longer_side = model, stride, longer_side
        self.colours = TokenColours()

    def update(self, example):
        """Take an image into the projection."""
        self.colours.update(self._tokens(example))

    def fit(self):
        """Make the projection, before anything is painted."""
        self.colours.fit()

    def paint(self, example):
        """See the module."""
        picture = Image.fromarray(self.colours.paint(self._tokens(example)))
        size = photo_of(example.image).size
        return {'PCA of tokens': picture.resize(size, Image.Resampling.NEAREST)}

    @torch.no_grad()
    def _tokens(self, example):
        inputs = model_inputs(self.model, example.image, self.stride, self.longer_side)
        return self.model.extract_feat(inputs)[0][0]


class AttentionPainter:
    """Attention of [CLS] to the patches in the last block: the heads' mean, then each head.

    Each map is scaled by its own greatest value; [CLS]'s attention to itself is left out.

    Args:
        model: With ``data_preprocessor`` and a :func:`tapped_backbone`.
        longer_side (int): Images are resized to this for the model, pixels.
    """

    def __init__(self, model, longer_side):
        self.model, self.longer_side = model, longer_side
        self.backbone = tapped_backbone(model)

    def paint(self, example):
        """See the module."""
        maps = self.attention(example.image)
        size = photo_of(example.image).size
        pictures = {'[CLS], mean of heads': heat_map(maps.mean(0), size)}
        for head, values in enumerate(maps):
            pictures[f'[CLS], head {head}'] = heat_map(values, size)
        return pictures

    @torch.no_grad()
    def attention(self, image):
        """Attention to the patches, numpy float32 (heads, h, w)."""
        inputs = model_inputs(self.model, image, self.backbone.patch_size, self.longer_side)
        query, key = (self.backbone.forward_tapped(inputs, f).attention for f in ('q', 'k'))
        grid = self.backbone.grid_size(inputs)
        patches = cls_attention(query, key)[0, :, -grid[0] * grid[1] :]
        return patches.unflatten(-1, grid).cpu().numpy()


class ClusterPainter:
    """Clusters found jointly in two views: crops on the image, the views, their clusters.

    A colour is the same cluster in both views; clusters that only one view has are grey, since
    training leaves them out. Each image is a batch by itself: with ``cost_scaling='batch'`` its
    attention heads share a scale, in training those of the other images too.

    Args:
        model: With ``data_preprocessor`` and a :func:`tapped_backbone`.
        clustering (mmcroc.croc.OnlineClustering): As in training.
        heads (Sequence[int]): Attention heads to show; each has clusters of its own.
        seed (int): Of the draw of the clusters' seed tokens, the same for each image.

    Raises:
        ValueError: A head that there is not.
    """

    def __init__(self, model, clustering, heads=(0,), seed=0):
        self.model, self.clustering = model, clustering
        self.heads, self.seed = tuple(heads), seed
        self.backbone = tapped_backbone(model)
        number = self.backbone.layers[-1].attn.num_heads if clustering.tap else 1
        if not all(0 <= head < number for head in self.heads):
            raise ValueError(
                f'heads {list(self.heads)}: clusters of {clustering.feature!r} have heads 0 to '
                f'{number - 1}'
            )

    def paint(self, example):
        """See the module."""
        labels = self.labels(example)
        size = example.image.shape[1::-1]
        crops = crops_on_image(photo_of(example.image), size, example.view_boxes)
        pictures = {'crops': crops}
        views = [Image.fromarray(view).resize((SIDE, SIDE)) for view in example.views]
        for number, (view, colour) in enumerate(zip(views, CROP_COLOURS, strict=True), 1):
            pictures[f'view {number}'] = Image.fromarray(frame(np.asarray(view), colour))
        for head in self.heads:
            for number, view in enumerate(views, 1):
                title = f'view {number}, clusters of head {head}'
                pictures[title] = overlay(view, labels[number - 1, head])
        return pictures

    @torch.no_grad()
    def labels(self, example):
        """Clusters of both views' patches, numpy int64 (2, heads, h, w), -1 as in the class."""
        views = torch.from_numpy(np.stack(example.views)).permute(0, 3, 1, 2)
        inputs = self.model.data_preprocessor(dict(inputs=views))['inputs']
        boxes = torch.from_numpy(example.view_boxes)[:, None].to(inputs.device)
        grid = self.backbone.grid_size(inputs)
        found = self.backbone.forward_tapped(inputs, self.clustering.tap)
        with seeded_device(self.seed, inputs.device):
            assignments = self.clustering(found, patch_positions(boxes, grid))
        return cluster_labels(assignments)[:, 0].unflatten(-1, grid).cpu().numpy()


@contextmanager
def seeded_device(seed, device):
    """Seed the generators of the host and of a device for a while; then they go on as before."""
    with seeded_generators(seed):
        if device.type != 'cuda':
            yield
            return
        with torch.random.fork_rng(devices=[device]), torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
            yield
