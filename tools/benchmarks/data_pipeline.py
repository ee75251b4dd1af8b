"""Time the two-view pipelines on one core, next to CrOC's in torchvision and Pillow.

    python tools/benchmarks/data_pipeline.py [--images FOLDER [--oversegmentations FOLDER]]
        [--seconds 6]

Without a folder it makes 640 x 480 JPEG files of photo-like content, with maps of 48 regions. HSG's
views of images with regions are timed where there are such maps.
"""

import io
import os
import random
import tempfile
import time
from pathlib import Path

import cv2
import measure
import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision import transforms as T

import mmcroc.data.colour as colour
from mmcroc.config_files import read_config
from mmcroc.data.image_reading import read_image
from mmcroc.data.oversegmented import OversegmentedImages, read_oversegmentation
from mmcroc.data.two_views import PackTwoViews, crop_resize_flip, sample_crop_box
from mmcroc.data.unlabelled import UnlabelledImages, scan_images

NUMBER, WIDTH, HEIGHT, REGIONS = 12, 640, 480, 48


def make_photos(folder):
    """Write JPEG files with the spectrum of photos (amplitude ~ 1/frequency), quality 90."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequency[0, 0] = 1
    for i in range(NUMBER):
        noise = np.fft.rfft2(rng.standard_normal((3, HEIGHT, WIDTH)))
        grey, *chroma = np.fft.irfft2(noise / frequency, s=(HEIGHT, WIDTH))
        image = np.stack([grey + 0.4 * chroma[0], grey, grey + 0.4 * chroma[1]], axis=2)
        image = 128 + 48 * (image - image.mean()) / image.std()
        image = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
        image.save(os.path.join(folder, f'{i:03d}.jpg'), quality=90)


def make_oversegmentations(folder):
    """Write the maps of :func:`make_photos`' images: the cells nearest to random points."""
    rng = np.random.default_rng(0)
    pixels = np.stack(np.mgrid[:HEIGHT, :WIDTH], axis=2)[:, :, None]
    for i in range(NUMBER):
        points = rng.uniform(0, (HEIGHT, WIDTH), (REGIONS, 2))
        regions = np.square(pixels - points).sum(3).argmin(2)
        Image.fromarray(regions.astype(np.uint16)).save(os.path.join(folder, f'{i:03d}.png'))


def blur(image):
    """Blur as DINO's code does, by Pillow."""
    return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def plain_pipeline():
    """The same augmentations in torchvision on PIL images, to uint8 tensors."""
    views = [
        T.Compose(
            [
                T.RandomResizedCrop(224, (0.25, 1.0), interpolation=T.InterpolationMode.BICUBIC),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
                T.RandomGrayscale(0.2),
                T.RandomApply([blur], p=blur_prob),
                T.RandomApply([ImageOps.solarize], p=solarize_prob),
                T.PILToTensor(),
            ]
        )
        for blur_prob, solarize_prob in ((1.0, 0.0), (0.1, 0.2))
    ]
    return lambda path: [view(Image.open(path).convert('RGB')) for view in views]


def milliseconds(function, items, seconds):
    """CPU time of a call, over whole passes of the items for at least so many seconds.

    CPU time equals wall time with one thread, but leaves out what other programs take.
    """

    def run():
        for item in items:
            function(item)

    return 1000 * measure.seconds(run, seconds, timer=time.process_time) / len(items)


def stages(paths):
    """Each stage of ours as a function, and what it is called with."""
    images = [read_image(path) for path in paths]
    boxes = [sample_crop_box(*img.shape[:2], (0.25, 1.0), (3 / 4, 4 / 3)) for img in images]
    crops = list(zip(images, boxes, strict=True))
    views = [crop_resize_flip(image, box, 224, True) for image, box in crops]
    packed = dict(img=views[:2], view_boxes=None)
    encoded = [Path(path).read_bytes() for path in paths]
    return {
        'decode to a PIL image': (lambda data: Image.open(io.BytesIO(data)).load(), encoded),
        'read_image (with copy to an array)': (read_image, paths),
        'draw a box': (
            lambda img: sample_crop_box(*img.shape[:2], (0.25, 1.0), (3 / 4, 4 / 3)),
            images,
        ),
        'crop, resize, flip (one view)': (lambda c: crop_resize_flip(*c, 224, True), crops),
        'jitter (when done)': (colour.ColorJitter(prob=1.0).change, views),
        'grayscale (when done)': (colour.RandomGrayscale(1.0).change, views),
        'blur (when done)': (colour.GaussianBlur(prob=1.0).change, views),
        'solarise (when done)': (colour.Solarize(prob=1.0).change, views),
        'pack both views': (lambda _: PackTwoViews().transform(packed), views),
    }


def main():
    parser = measure.parser_of(__doc__)
    parser.add_argument('--images', help='folder of images; default: made ones')
    parser.add_argument('--oversegmentations', help='folder of their maps of regions')
    parser.add_argument('--seconds', type=float, default=6, help='time per measurement')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    croc, hsg = (
        read_config(f'mmcroc::{name}.py').train_dataloader.dataset.pipeline
        for name in ('croc_vit-s_coco', 'hsg_r50_coco_stage1')
    )
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as made_maps:
        if not args.images:
            make_photos(made)
            make_oversegmentations(made_maps)
        folder = args.images or made
        maps = args.oversegmentations if args.images else made_maps
        paths = scan_images(folder)[:64]
        numbers = range(len(paths))
        rows = {
            'decode alone': (lambda path: np.asarray(Image.open(path).convert('RGB')), paths),
            'torchvision on PIL images': (plain_pipeline(), paths),
            'mmcroc': (UnlabelledImages(folder, pipeline=croc).__getitem__, numbers),
        }
        if maps:
            with_regions = OversegmentedImages(folder, os.path.abspath(maps), pipeline=hsg)
            rows['mmcroc, views with regions (HSG)'] = with_regions.__getitem__, numbers
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
        for name, (function, items) in stages(paths).items():
            print(f'  {name:36s} {milliseconds(function, items, args.seconds / 10):7.3f} ms')


if __name__ == '__main__':
    main()
