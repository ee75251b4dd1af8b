"""Make the pictures of README and pages from what both demos have trained, on drawn scenes.

python tools/train.py configs/croc_vit-t_scenes.py
python tools/train.py configs/hsg_r18_scenes.py
python docs/assets/pictures.py work_dirs/croc_vit-t_scenes work_dirs/hsg_r18_scenes
"""

import argparse
import json
import tempfile
from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot
from mmengine.registry import init_default_scope
from PIL import Image, ImageDraw, ImageFont

import mmcroc
from mmcroc.data.synthetic_scenes import SyntheticScenes
from mmcroc.inference.segmentation import init_model, segment_image
from mmcroc.pictures.label_maps import overlay, save_png
from mmcroc.pictures.painters import PCAPainter, draw_views, photo_of
from mmcroc.pictures.sheets import picture_grid
from mmcroc.registry import MODELS

OUT = Path(__file__).parent
#: Scenes that neither demo was trained on, their side, and the side of a picture, pixels.
SCENES, SIZE, SIDE = (2, 5, 11), 96, 150
#: Height of the titles, pixels.
TITLE = 24
#: Colours of a picture: textures in all colours would make files of megabytes.
COLOURS = 96


def save(rows, titles, name):
    """Write rows of pictures, under titles that phones can read, as one small PNG."""
    small = [[picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS) for picture in row]
             for row in rows]  # fmt: skip
    grid = picture_grid(small)
    sheet = Image.new('RGB', (grid.width, grid.height + TITLE), 'white')
    sheet.paste(grid, (0, TITLE))
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = column * grid.width / len(titles)
        draw.text((left, 3), title, 'black', ImageFont.load_default(TITLE - 7))
    save_png(sheet.quantize(COLOURS, dither=Image.Dither.NONE), OUT / name)


def untrained(config):
    """The demo's model with initial weights."""
    cfg = mmcroc.read_config(config)
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    with tempfile.TemporaryDirectory() as folder:
        path = f'{folder}/untrained.pth'
        content = dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text))
        torch.save(content, path)
        return init_model(None, path)


def tokens_as_colours(model, scenes):
    """The first three principal components of all scenes' tokens."""
    painter = PCAPainter(model, model.stride, SIZE)
    examples = [mmcroc.pictures.Example(scene) for scene in scenes]
    for example in examples:
        painter.update(example)
    painter.fit()
    return [painter.paint(example)['PCA of tokens'] for example in examples]


def before_and_after(scenes, before, after):
    """Tokens as colours, and clusters of tokens, of the untrained and of the trained model."""
    columns = [[photo_of(scene) for scene in scenes]]
    for model in (before, after):
        columns.append(tokens_as_colours(model, scenes))
    for model in (before, after):
        maps = [segment_image(model, scene, None, SIZE, 6)['clusters'] for scene in scenes]
        columns.append([overlay(*pair) for pair in zip(columns[0], maps, strict=True)])
    titles = ['scene', 'features before', 'and after', 'clusters before', 'and after']
    save(list(zip(*columns, strict=True)), titles, 'before_after.png')


def clusters_of_views(scenes, model, checkpoint):
    """CrOC's clusters, found jointly in two views of each scene."""
    options = dict(size=SIZE, scale=(0.5, 1.0), view_transforms=((), ())), dict(max_clusters=6)
    views, clustering = mmcroc.inference.training_views(None, checkpoint, *options)
    painter = mmcroc.inference.build_painters(model, ['clusters'], SIZE, clustering)['clusters']
    rows = [list(painter.paint(draw_views(scene, views, 0, i)).values())
            for i, scene in enumerate(scenes)]  # fmt: skip
    titles = ['two crops', 'view 1', 'view 2', 'clusters of 1', 'clusters of 2']
    save(rows, titles, 'croc_clusters.png')


def hierarchy(scenes, model):
    """HSG's segments and their groups."""
    rows = []
    for scene in scenes:
        maps = segment_image(model, scene, None, SIZE)
        rows.append([photo_of(scene), *(overlay(photo_of(scene), one) for one in maps.values())])
    titles = ['scene', 'segments', *(f'{number} groups' for number in model.head.num_groups)]
    save(rows, titles, 'hsg_hierarchy.png')


def curves(work_dir):
    """Loss and probes of a training, as logged."""
    paths = sorted(work_dir.glob('*/vis_data/scalars.json'))
    records = [json.loads(line) for line in paths[-1].read_text().splitlines()]
    matplotlib.rcParams.update({'font.size': 9, 'axes.spines.top': False})
    figure, axes = pyplot.subplots(1, 2, figsize=(7, 2.4), layout='constrained')
    losses = [record for record in records if 'loss' in record]
    for name in ('loss_image', 'loss_cluster'):
        steps = [record['step'] for record in losses]
        axes[0].plot(steps, [record[name] for record in losses], label=name)
    for name in ('linear-ridge-probe/mIoU', 'clustering-probe/mIoU'):
        scored = [record for record in records if name in record]
        axes[1].plot([r['step'] for r in scored], [r[name] for r in scored], 'o-', label=name)
    axes[0].set_xlabel('iteration')
    axes[1].set(xlabel='epoch', ylabel='percent')
    for one in axes:
        one.legend(frameon=False, loc='center right')
        one.grid(alpha=0.3)
    figure.savefig(OUT / 'curves.png', dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('croc', type=Path, help='work dir of croc_vit-t_scenes.py')
    parser.add_argument('hsg', type=Path, help='work dir of hsg_r18_scenes.py')
    args = parser.parse_args()
    data = SyntheticScenes(max(SCENES) + 1, SIZE, 'val')
    scenes = [data.get_data_info(number)['img'] for number in SCENES]
    trained = init_model(None, str(args.croc / 'epoch_12.pth'))
    before_and_after(scenes, untrained(OUT.parents[1] / 'configs/croc_vit-t_scenes.py'), trained)
    clusters_of_views(scenes, trained, str(args.croc / 'epoch_12.pth'))
    curves(args.croc)
    hierarchy(scenes, init_model(None, str(args.hsg / 'iter_300.pth')))


if __name__ == '__main__':
    main()
