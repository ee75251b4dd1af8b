"""Draw a folder like one's own: OUT/images/*.jpg without labels for all, OUT/masks/*.png for a few.

python docs/examples/draw_scenes.py OUT
"""

import argparse
from pathlib import Path

from PIL import Image

from mmcroc.data.synthetic_scenes import SyntheticScenes

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument('out', metavar='OUT', type=Path)
parser.add_argument('--num-images', type=int, default=400, help='default: %(default)s')
parser.add_argument('--num-labelled', type=int, default=40, help='default: %(default)s')
parser.add_argument('--size', type=int, default=160, help='side in pixels; default: %(default)s')
args = parser.parse_args()

for folder in ('images', 'labelled/images', 'labelled/masks'):
    (args.out / folder).mkdir(parents=True, exist_ok=True)
for split, number in (('train', args.num_images), ('val', args.num_labelled)):
    scenes = SyntheticScenes(number, args.size, split)
    for index in range(number):
        scene = scenes.get_data_info(index)
        folder = args.out / 'images' if split == 'train' else args.out / 'labelled/images'
        Image.fromarray(scene['img']).save(folder / f'{index:04d}.jpg', quality=95)
        if split == 'val':
            mask = Image.fromarray(scene['gt_seg_map'])
            mask.save(args.out / 'labelled/masks' / f'{index:04d}.png')
classes = ', '.join(SyntheticScenes.METAINFO['classes'])
print(f'{args.num_images} images in {args.out / "images"}, {args.num_labelled} with masks')
print(f'in {args.out / "labelled"}; classes: {classes}')
