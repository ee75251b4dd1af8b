"""Time the two-view pipelines on one core, next to CrOC's in torchvision and Pillow.

    python tools/benchmarks/data_pipeline.py [--images FOLDER [--oversegmentations FOLDER]]
        [--rounds 12]

Without a folder it makes 640 x 480 JPEG files of photo-like content, with maps of 48 regions. HSG's
views of images with regions are timed where there are such maps. The rows take turns, and the
fastest of the rounds counts, so that what else the machine does weighs on all of them alike.
"""

import importlib.util
import io
import os
import random
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import cv2
import measure
import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision import transforms as T

import mmcroc.data.colour as colour
from mmcroc.config_files import read_config
from mmcroc.data.device_colour import apply_colours, draw_colours
from mmcroc.data.image_reading import read_image
from mmcroc.data.oversegmented import OversegmentedImages
from mmcroc.data.prepared_cache import shrink_image
from mmcroc.data.region_maps import read_oversegmentation
from mmcroc.data.two_views import PackTwoViews, crop_resize_flip, sample_crop_box
from mmcroc.data.unlabelled import UnlabelledImages, scan_images
from mmcroc.registry import TRANSFORMS

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


def milliseconds(rows, rounds):
    """CPU time of a call by row, ms: the fastest of so many passes over the row's items.

    CPU time equals wall time with one thread, but leaves out what other programs take.
    """
    found = dict.fromkeys(rows, float('inf'))
    for number in range(rounds + 1):
        for name, (function, items) in rows.items():
            # The same draws in each pass and row, or the luck of a round would count too.
            np.random.seed(0), random.seed(0), torch.manual_seed(0)  # noqa: NPY002
            start = time.process_time()
            for item in items:
                function(item)
            if number:  # the first one warms up
                ms = 1000 * (time.process_time() - start) / len(items)
                found[name] = min(found[name], ms)
    return found


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
        **{
            f'{name} (when done)': (lambda view, t=t: t.change(view, t.settings()), views)
            for name, t in dict(
                jitter=colour.ColorJitter(),
                grayscale=colour.RandomGrayscale(),
                blur=colour.GaussianBlur(),
                solarise=colour.Solarize(),
            ).items()
        },
        'pack both views': (lambda _: PackTwoViews().transform(packed), views),
    }


def device_milliseconds(view_transforms, device, images=64):
    """Time of an image's colours, both views, on the device: ms, in a batch of so many images."""
    views = [[TRANSFORMS.build(cfg) for cfg in cfgs] for cfgs in view_transforms]
    np.random.seed(0)  # noqa: NPY002
    drawn = np.stack([draw_colours(transforms) for transforms in views for _ in range(images)])
    batch = torch.randint(0, 256, (2 * images, 3, 224, 224), dtype=torch.uint8, device=device)
    return 1000 * measure.seconds(lambda: apply_colours(batch, drawn)) / images


def main():
    parser = measure.parser_of(__doc__)
    parser.add_argument('--images', help='folder of images; default: made ones')
    parser.add_argument('--oversegmentations', help='folder of their maps of regions')
    parser.add_argument('--rounds', type=int, default=12, help='passes over the images')
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    croc, hsg = (
        read_config(f'mmcroc::{name}.py').train_dataloader.dataset.pipeline
        for name in ('croc_vit-s_coco', 'hsg_r50_coco_stage1')
    )
    on_device = deepcopy(croc)
    on_device[0].colour_on_device = True
    with tempfile.TemporaryDirectory() as made:
        folder, maps = args.images, args.oversegmentations
        if not folder:
            folder, maps = os.path.join(made, 'images'), os.path.join(made, 'maps')
            os.mkdir(folder), os.mkdir(maps)
            make_photos(folder)
            make_oversegmentations(maps)
        paths = scan_images(folder)[:64]
        cache = os.path.join(made, 'cache')
        for path in paths:
            shrink_image(
                320, Path(path), Path(cache, Path(path).relative_to(folder)).with_suffix('.jpg')
            )
        numbers = range(len(paths))

        def ours(folder, pipeline):
            return UnlabelledImages(folder, pipeline=pipeline).__getitem__, numbers

        rows = {
            'decode alone': (lambda path: np.asarray(Image.open(path).convert('RGB')), paths),
            'torchvision on PIL images': (plain_pipeline(), paths),
            'mmcroc': ours(folder, croc),
            'mmcroc, colours on the device': ours(folder, on_device),
            'mmcroc, prepared cache (320)': ours(cache, croc),
            'mmcroc, cache, colours on the device': ours(cache, on_device),
        }
        if maps:
            with_regions = OversegmentedImages(folder, os.path.abspath(maps), pipeline=hsg)
            rows['mmcroc, views with regions (HSG)'] = with_regions.__getitem__, numbers
            map_paths = [with_regions.get_data_info(i)['oversegmentation_path'] for i in range(5)]
            rows['decode a map alone'] = read_oversegmentation, map_paths
        decoder = 'simplejpeg' if importlib.util.find_spec('simplejpeg') else 'torchvision'
        print(f'{len(paths)} images, two views of 224 pixels each, one core, JPEGs by {decoder}\n')
        print(f'  {"":38s} {"ms/image":>9s} {"images/s":>9s} {"ratio":>6s}')
        found = milliseconds(rows, args.rounds)
        for name, ms in found.items():
            ratio = found['torchvision on PIL images'] / ms
            print(f'  {name:38s} {ms:9.2f} {1000 / ms:9.0f} {ratio:6.2f}')
        print()
        parts = milliseconds(stages(paths), args.rounds)
        ms = device_milliseconds(on_device[0].view_transforms, args.device)
        parts[f'colours of both views on {args.device}'] = ms
        for name, ms in parts.items():
            print(f'  {name:36s} {ms:7.3f} ms')
        measure.record(args.json, {'ms an image': found, 'ms': parts})


if __name__ == '__main__':
    main()
