"""A data set of one's own for pretraining: frames of videos, kept as .npy files."""

from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmpretrain.registry import DATASETS

from mmcroc.data.sample_seed import SeededSamples


@DATASETS.register_module()
class VideoFrames(SeededSamples, BaseDataset):
    """Every frame of every ``*.npy`` file of a folder, uint8 (frames, H, W, 3), RGB.

    ``SeededSamples`` before the base class makes a sample's augmentation depend on seed, epoch
    and index alone: runs can be resumed exactly, with any number of workers.

    Args:
        data_root (str): The folder.
        pipeline (list): Transforms.
    """

    def load_data_list(self):
        """One entry per frame. Nothing is read yet but the shapes."""
        files = sorted(Path(self.data_root).glob('*.npy'))
        if not files:
            raise FileNotFoundError(f'no .npy file in data_root={self.data_root!r}')
        return [
            dict(video=str(path), frame=frame)
            for path in files
            for frame in range(len(np.load(path, mmap_mode='r')))
        ]

    def get_data_info(self, idx):
        """What the pipeline gets: ``img`` (RGB uint8), and a name for messages."""
        info = super().get_data_info(idx)
        img = np.array(np.load(info['video'], mmap_mode='r')[info['frame']])
        info.update(
            img=img,
            img_path=f'{info["video"]}#{info["frame"]}',
            img_shape=img.shape[:2],
            ori_shape=img.shape[:2],
        )
        return info
