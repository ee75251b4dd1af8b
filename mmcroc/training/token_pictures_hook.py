"""What the teacher sees in a few images, again and again while it learns."""

from pathlib import Path

from mmcroc.croc.views import TwoViews
from mmcroc.data.image_reading import read_image
from mmcroc.data.unlabelled import scan_images
from mmcroc.pictures.painters import (
    AttentionPainter,
    ClusterPainter,
    PCAPainter,
    draw_views,
    photo_of,
    tapped_backbone,
)
from mmcroc.pictures.sheets import picture_grid
from mmcroc.registry import HOOKS
from mmcroc.training.pictures_hook import PicturesHook, evenly_spread, fixed_samples, views_of


@HOOKS.register_module()
class TokenPicturesHook(PicturesHook):
    """Paint the teacher's tokens, attention and clusters of the same images while it learns.

    For CrOC, and DINO, which has no clusters. Each image has a row: principal components of its
    tokens as colours, attention of [CLS] in the last block, and the clusters found jointly in two
    views of it, which are drawn once as training draws them
    (:mod:`mmcroc.pictures.painters`). The sheets go to
    ``WORK_DIR/pictures/tokens_{iteration:06d}.png`` and to the visualiser, as ``tokens``; the
    first rank paints them. Training goes on as if there were no hook.

    Args:
        interval (int): Epochs between pictures. Defaults to 10.
        num_images (int): Images; all of a smaller set. Defaults to 4.
        by_epoch (bool): Whether ``interval`` counts epochs, or iterations. Defaults to True.
        folder (str, optional): Take the images from this folder, evenly spread, instead of from
            the training set.
        heads (Sequence[int]): Attention heads whose clusters are shown. Defaults to (0,).

    Raises:
        ValueError: A setting below 1, a pipeline without ``TwoViews``, a folder without images, a
            head that there is not.
        TypeError: A model without a teacher that is :class:`mmcroc.features.VisionTransformer`.
    """

    NAME = 'tokens'

    def __init__(self, interval=10, num_images=4, by_epoch=True, folder=None, heads=(0,)):
        super().__init__(interval, num_images, by_epoch)
        if folder is not None and not Path(folder).is_dir():
            raise ValueError(f'TokenPicturesHook.folder={folder!r} is not a folder.')
        self.folder = folder
        self.heads = heads

    def check_model(self):
        """Refuse a model without a teacher to look into."""
        if not hasattr(self.model, 'teacher') or tapped_backbone(self.model) is None:
            raise TypeError(
                'TokenPicturesHook serves models with a teacher.backbone of '
                'mmcroc.VisionTransformer, such as mmcroc.CrOC, which '
                f'{type(self.model).__name__} has not; set default_hooks.token_pictures=None.'
            )

    def load_images(self, runner):
        """The images, each with two views."""
        dataset = runner.train_dataloader.dataset
        views = views_of(dataset, TwoViews)
        if self.folder is None:
            images = [one['img'] for one in fixed_samples(dataset, self.num_images, views)]
        else:
            images = images_of_folder(self.folder, self.num_images)
        self.examples = [draw_views(image, views, 0, i) for i, image in enumerate(images)]
        # As evaluations do, twice the side that is trained on; nothing is enlarged.
        self.longer_side = min(max(max(one.shape[:2]) for one in images), 2 * views.size)
        self.painters = [AttentionPainter(self.model, self.longer_side)]
        if self.model.with_target_generator:
            self.painters.append(
                ClusterPainter(self.model, self.model.target_generator, self.heads)
            )

    def compute(self):
        """Every image's pictures by title."""
        # The network changes, and its components with it.
        stride = tapped_backbone(self.model).patch_size
        pca = PCAPainter(self.model, stride, self.longer_side)
        for example in self.examples:
            pca.update(example)
        pca.fit()
        rows = []
        for example in self.examples:
            row = {'image': photo_of(example.image)}
            for painter in (pca, *self.painters):
                row |= painter.paint(example)
            rows.append(row)
        return rows

    def sheet(self, computed):
        """A row of each image."""
        return picture_grid([list(row.values()) for row in computed], list(computed[0]))


def images_of_folder(folder, number):
    """Images below a folder, evenly spread: list of uint8 RGB (H, W, 3), at most ``number``.

    Raises:
        ValueError: There are none.
        mmcroc.data.image_reading.UnreadableImageError: One of those chosen is broken.
    """
    paths = scan_images(folder)
    if not paths:
        raise ValueError(f'TokenPicturesHook.folder={folder!r} has no images.')
    return [read_image(paths[index]) for index in evenly_spread(len(paths), number)]
