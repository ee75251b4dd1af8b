"""Time the two-view pipelines on one core, next to CrOC's in torchvision and Pillow.

    python tools/benchmarks/data_pipeline.py [--images FOLDER [--oversegmentations FOLDER]]
        [--seconds 6]

Without a folder it makes 640 x 480 JPEG files of photo-like content, with maps of 48 regions. HSG's
views of images with regions are timed where there are such maps.
"""

import argparse
import io
import os
import random
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision import transforms as T

import mmcroc.data.colour as colour
from mmcroc.data.image_reading import read_image
from mmcroc.data.oversegmented import OversegmentedImages, read_oversegmentation
from mmcroc.data.two_views import PackTwoViews, crop_resize_flip, sample_crop_box
from mmcroc.data.unlabelled import UnlabelledImages, scan_images

COLOUR = [dict(type='mmcroc.ColorJitter'), dict(type='mmcroc.RandomGrayscale', prob=0.2)]
PIPELINE = [
    dict(
        type='mmcroc.TwoViews',
        size=224,
        view_transforms=[
            [*COLOUR, dict(type='mmcroc.GaussianBlur', prob=1.0)],
            [
                *COLOUR,
                dict(type='mmcroc.GaussianBlur', prob=0.1),
                dict(type='mmcroc.Solarize', prob=0.2),
            ],
        ],
    ),
    dict(type='mmcroc.PackTwoViews'),
]
HSG_COLOUR = [
    dict(type='mmcroc.ColorJitter', saturation=0.4),
    dict(type='mmcroc.RandomGrayscale', prob=0.2),
]
HSG_PIPELINE = [
    dict(type='mmcroc.TwoViewsWithRegions', size=224, view_transforms=[HSG_COLOUR, HSG_COLOUR]),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]


def make_photos(folder, number=12, size=(640, 480)):
    """Write JPEG files with the spectrum of photos (amplitude ~ 1/frequency), quality 90."""
    rng = np.random.default_rng(0)
    w, h = size
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    frequency[0, 0] = 1
    for i in range(number):
        noise = np.fft.rfft2(rng.standard_normal((3, h, w)))
        grey, *chroma = np.fft.irfft2(noise / frequency, s=(h, w))
        image = np.stack([grey + 0.4 * chroma[0], grey, grey + 0.4 * chroma[1]], axis=2)
        image = 128 + 48 * (image - image.mean()) / image.std()
        image = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
        image.save(os.path.join(folder, f'{i:03d}.jpg'), quality=90)


def make_oversegmentations(folder, number=12, size=(640, 480), num_regions=48):
    """Write the maps of :func:`make_photos`' images: the cells nearest to random points."""
    rng = np.random.default_rng(0)
    w, h = size
    pixels = np.stack(np.mgrid[:h, :w], axis=2)[:, :, None]
    for i in range(number):
        points = rng.uniform(0, (h, w), (num_regions, 2))
        regions = np.square(pixels - points).sum(3).argmin(2)
        Image.fromarray(regions.astype(np.uint16)).save(os.path.join(folder, f'{i:03d}.png'))


class RandomBlur:
    """DINO's: Pillow's Gaussian blur with a probability."""

    def __init__(self, prob):
        self.prob = prob

    def __call__(self, image):
        if random.random() >= self.prob:
            return image
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def plain_pipeline():
    """The same augmentations in torchvision on PIL images, to uint8 tensors."""

    def view(blur_prob, solarize_prob):
        return T.Compose(
            [
                T.RandomResizedCrop(224, (0.25, 1.0), interpolation=T.InterpolationMode.BICUBIC),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
                T.RandomGrayscale(0.2),
                RandomBlur(blur_prob),
                T.RandomApply([ImageOps.solarize], p=solarize_prob),
                T.PILToTensor(),
            ]
        )

    views = view(1.0, 0.0), view(0.1, 0.2)

    def run(path):
        image = Image.open(path).convert('RGB')
        return [transform(image) for transform in views]

    return run


def milliseconds(function, items, seconds):
    """Mean CPU time of a call, over whole passes of the items for at least so many seconds.

    CPU time equals wall time with one thread, but leaves out what other programs take.
    """
    for item in items:
        function(item)
    passes, start = 0, time.process_time()
    while time.process_time() - start < seconds or passes == 0:
        for item in items:
            function(item)
        passes += 1
    return 1000 * (time.process_time() - start) / (passes * len(items))


def time_stages(paths, seconds):
    """Cost of each stage of ours, per call."""
    images = [read_image(path) for path in paths]
    boxes = [sample_crop_box(*img.shape[:2], (0.25, 1.0), (3 / 4, 4 / 3)) for img in images]
    views = [crop_resize_flip(img, box, 224, True) for img, box in zip(images, boxes, strict=True)]
    packed = dict(img=views[:2], view_boxes=None)
    encoded = [io.BytesIO(Path(path).read_bytes()) for path in paths]
    indices = list(range(len(paths)))

    def crop(i):
        crop_resize_flip(images[i], boxes[i], 224, True)

    stages = {
        'decode to a PIL image': (lambda i: Image.open(encoded[i]).load(), indices),
        'read_image (with copy to an array)': (read_image, paths),
        'draw a box': (
            lambda img: sample_crop_box(*img.shape[:2], (0.25, 1.0), (3 / 4, 4 / 3)),
            images,
        ),
        'crop, resize, flip (one view)': (crop, indices),
        'jitter (when done)': (colour.ColorJitter(prob=1.0).change, views),
        'grayscale (when done)': (colour.RandomGrayscale(1.0).change, views),
        'blur (when done)': (colour.GaussianBlur(prob=1.0).change, views),
        'solarise (when done)': (colour.Solarize(prob=1.0).change, views),
        'pack both views': (lambda _: PackTwoViews().transform(packed), views),
    }
    for name, (function, items) in stages.items():
        print(f'  {name:36s} {milliseconds(function, items, seconds / 10):7.3f} ms')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', help='folder of images; default: made ones')
    parser.add_argument('--oversegmentations', help='folder of their maps of regions')
    parser.add_argument('--seconds', type=float, default=6, help='time per measurement')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as made_maps:
        if not args.images:
            make_photos(made)
            make_oversegmentations(made_maps)
        folder = args.images or made
        maps = args.oversegmentations if args.images else made_maps
        paths = scan_images(folder)[:64]
        dataset = UnlabelledImages(folder, pipeline=PIPELINE)
        rows = {
            'decode alone': (lambda path: np.asarray(Image.open(path).convert('RGB')), paths),
            'torchvision on PIL images': (plain_pipeline(), paths),
            'mmcroc': (dataset.__getitem__, range(len(paths))),
        }
        if maps:
            with_regions = OversegmentedImages(folder, os.path.abspath(maps), pipeline=HSG_PIPELINE)
            rows['mmcroc, views with regions (HSG)'] = with_regions.__getitem__, range(len(paths))
            map_paths = [with_regions.get_data_info(i)['oversegmentation_path'] for i in range(5)]
            rows['decode a map alone'] = read_oversegmentation, map_paths
        print(f'{len(paths)} images, two views of 224 pixels each, one core\n')
        print(f'  {"":38s} {"ms/image":>9s} {"images/s":>9s}')
        speed = {}
        for name, (function, items) in rows.items():
            ms = milliseconds(function, items, args.seconds)
            speed[name] = 1000 / ms
            print(f'  {name:38s} {ms:9.2f} {1000 / ms:9.0f}')
        ratio = speed['mmcroc'] / speed['torchvision on PIL images']
        print(f'\n  mmcroc is {ratio:.1f} times as fast\n')
        time_stages(paths, args.seconds)


if __name__ == '__main__':
    main()
