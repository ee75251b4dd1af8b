"""A data set that draws itself: something to train and evaluate on with nothing downloaded."""

import numpy as np
from mmengine.dataset import BaseDataset

from mmcroc.data.sample_seed import SeededSamples
from mmcroc.data.scene_drawing import GROUNDS, OBJECTS, draw_scene
from mmcroc.registry import DATASETS

SPLITS = ('train', 'val')


@DATASETS.register_module()
class SyntheticScenes(SeededSamples, BaseDataset):
    """Textured objects on textured grounds, with semantic masks, drawn when asked for.

    Nine classes: 0-2 are grounds (meadow, sand, water), 3-8 objects (ball, crate, tent, star,
    ring, blob). Every pixel has a class. A scene depends on (seed, split, index) alone and takes
    a few ms at 96 pixels; training and validation scenes are drawn from the same distribution by
    different random streams.

    A sample arrives at the pipeline with the keys of MMSegmentation, image and mask already
    loaded: ``img`` (RGB uint8), ``gt_seg_map`` (uint8), ``seg_fields``, ``img_path`` (a name, not
    a file), ``img_shape``, ``ori_shape``, ``reduce_zero_label``, ``sample_idx``.

    Args:
        num_images (int): Length. Defaults to 1000.
        image_size (int): Side of the images, pixels. Defaults to 96.
        split (str): 'train' or 'val'. Defaults to 'train'.
        seed (int): Seed of all scenes, >= 0. Defaults to 0.
        cache (bool): Keep scenes once drawn, uint8: 1,600 of 96 pixels take 56 MiB, in each
            worker, which must be persistent for it to be of use. Defaults to False.
        pipeline (list): Transforms.
        **kwargs: To :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: An unknown split, or ``num_images`` or ``image_size`` too small.
    """

    METAINFO = dict(
        classes=tuple(kind[0] for kind in GROUNDS + OBJECTS),
        palette=[list(kind[1]) for kind in GROUNDS + OBJECTS],
    )

    def __init__(
        self,
        num_images=1000,
        image_size=96,
        split='train',
        seed=0,
        cache=False,
        pipeline=(),
        **kwargs,
    ):
        if split not in SPLITS:
            raise ValueError(f'SyntheticScenes.split must be one of {SPLITS}, but is {split!r}.')
        if num_images < 1 or image_size < 16:
            raise ValueError(
                'SyntheticScenes needs num_images >= 1 and image_size >= 16, but they are '
                f'{num_images} and {image_size}.'
            )
        self.num_images = num_images
        self.image_size = image_size
        self.split = split
        self.seed = seed
        self._drawn = {} if cache else None
        super().__init__(pipeline=pipeline, serialize_data=False, **kwargs)

    def load_data_list(self):
        """The scenes' numbers: all there is to know before drawing."""
        return [dict(scene=number) for number in range(self.num_images)]

    def get_data_info(self, idx):
        """Draw a scene; see the class for the keys."""
        info = super().get_data_info(idx)
        number = info.pop('scene')
        img, mask = self._draw(number)
        info.update(
            img=img,
            gt_seg_map=mask,
            seg_fields=['gt_seg_map'],
            img_path=f'{self.split}_{self.seed}_{number:06d}.png',
            img_shape=img.shape[:2],
            ori_shape=img.shape[:2],
            reduce_zero_label=False,
        )
        return info

    def _draw(self, number):
        """Image and mask of a scene, the caller's own to change."""
        if self._drawn is not None and number in self._drawn:
            return tuple(array.copy() for array in self._drawn[number])
        entropy = (self.seed, SPLITS.index(self.split), number)
        rng = np.random.default_rng(np.random.SeedSequence(entropy))
        scene = draw_scene(rng, self.image_size)
        if self._drawn is not None:
            self._drawn[number] = tuple(array.copy() for array in scene)
        return scene
