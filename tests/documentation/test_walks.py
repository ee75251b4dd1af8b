"""The pages that one follows step by step, followed step by step on drawn data, cut short."""

import re
import sys

import numpy as np
import pytest
from PIL import Image

from mmcroc.data.synthetic_scenes import SyntheticScenes
from tests.support.commands import ALL
from tests.support.mini_data import make_voc
from tests.support.paths import ROOT
from tests.support.processes import call
from tests.support.random_models import save, vit_config
from tests.support.shell import Shell

FEW_SCENES = ('--num-images', 6, '--num-labelled', 2, '--size', 64)
SHORT = ('train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False')  # fmt: skip
DEMO = 'work_dirs/croc_vit-t_scenes/epoch_12.pth'
MINE = 'work_dirs/my_images/epoch_40.pth'


pytestmark = pytest.mark.walk


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def test_first_run_pictures_and_weights(shell):
    few = ('train_dataloader.dataset.num_images=4', 'val_dataloader.dataset.num_images=3',
           'val_evaluator.1.train_dataloader.dataset.num_images=3')  # fmt: skip
    two = ('--cfg-options', *SHORT, *few, 'train_cfg.max_epochs=2', 'train_cfg.val_interval=2')
    shell('python tools/train.py configs/croc_vit-t_scenes.py', *two)
    out = shell('python tools/train.py configs/croc_vit-t_scenes.py --resume', *two)
    assert 'resumed epoch: 2' in out
    work = shell.folder / 'work_dirs' / 'croc_vit-t_scenes'
    (work / 'epoch_2.pth').rename(shell.folder / DEMO)

    shell('python docs/examples/draw_scenes.py my_data', *FEW_SCENES)
    shell(
        f'python tools/segment.py my_data/labelled/images {DEMO} --out work_dirs/first_look '
        '--num-clusters 6'
    )
    assert len(list((shell.folder / 'work_dirs/first_look/sheets').iterdir())) == 2

    see = f'python tools/visualize.py my_data/labelled/images {DEMO} '
    shell(f'{see}--out work_dirs/seen')
    shell(
        f'{see}--out work_dirs/seen_clusters --what clusters --heads 0 1 --views scale=0.5,1 '
        'flip_prob=0 --clustering max_clusters=4'
    )
    for folder in ('seen', 'seen_clusters'):
        assert (shell.folder / 'work_dirs' / folder / 'sheet.png').is_file()
    exported = 'work_dirs/exported/croc.safetensors'
    out = shell(f'python tools/export.py {DEMO} --format timm --out {exported}')
    assert 'timm.create_model' in out
    assert (shell.folder / exported).is_file()


def check_drawn(data):
    """Images without masks, and images and masks by the same names."""
    assert len(list((data / 'images').iterdir())) == 6
    for path in (data / 'labelled' / 'masks').iterdir():
        with (
            Image.open(path) as mask,
            Image.open(data / 'labelled/images' / f'{path.stem}.jpg') as im,
        ):
            assert mask.size == im.size == (64, 64)
            assert np.asarray(mask).max() < len(SyntheticScenes.METAINFO['classes'])


def test_own_images_to_a_clustering_number(shell):
    shell('python docs/examples/draw_scenes.py my_data', *FEW_SCENES)
    check_drawn(shell.folder / 'my_data')
    out = shell(
        'python tools/train.py docs/examples/my_images.py --data-root my_data/images '
        '--work-dir work_dirs/my_images',
        '--cfg-options', *SHORT, 'train_cfg.max_epochs=2',
    )  # fmt: skip
    assert 'UnlabelledImages: 6 images' in out
    (shell.folder / 'work_dirs/my_images/epoch_2.pth').rename(shell.folder / MINE)
    shell(
        f'python tools/segment.py my_data/labelled/images {MINE} --out work_dirs/my_clusters '
        '--num-clusters 8'
    )
    assert len(list((shell.folder / 'work_dirs/my_clusters/clusters').iterdir())) == 2
    test = 'python tools/test.py docs/examples/my_clustering.py'
    few = ('--cfg-options', 'test_evaluator.seeds=[0,1]', 'test_evaluator.num_restarts=1')
    numbers = []
    for model, name in ((MINE, ''), ('random', '_random'), ('rgb', '_rgb')):
        out = shell(f'{test} {model} --work-dir work_dirs/my_number{name}', *few)
        assert 'tent' in out  # a class of one's own
        numbers.append(float(re.search(r'clustering/mIoU: ([\d.]+)', out)[1]))
    assert all(0 < number < 100 for number in numbers)
    assert len(set(numbers)) == 3


def test_own_images_and_masks_to_a_table(shell):
    """README's one command and its five lines of Python, on 20 images and few clusters."""
    shell('python docs/examples/draw_scenes.py my_data', '--num-labelled', 20, *FEW_SCENES[:2],
          '--size', 64)  # fmt: skip
    checkpoint = shell.folder / DEMO
    checkpoint.parent.mkdir(parents=True)
    save(checkpoint.parent, vit_config('deit-tiny')).path.rename(checkpoint)
    text = next(c.text for c in ALL if '--images' in c.options and c.page == 'README.md')
    out = shell(text, '--cfg-options', 'num_restarts=1', 'seeds=[0]', 'image_size=224')
    assert 'Failed' not in out
    table = out[out.index('mIoU on images') :]
    for name in ('clustering-leopart*', 'linear-ridge*', 'overclustering-leopart*', DEMO, 'rgb'):
        assert name in table
    assert (shell.folder / 'work_dirs' / 'mine' / 'predictions.png').is_file()
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    (lines,) = (block for block in blocks if 'OwnImages' in block)
    assert len([line for line in lines.splitlines() if line]) == 5
    network = 'from torch import nn\nmy_network = nn.Conv2d(3, 8, 16, 16)\n'
    command = sys.executable, '-c', network + lines
    done = call(*command, cwd=shell.folder, PYTHONPATH=str(shell.site))
    assert done.returncode == 0, done.stderr
    assert 'Conv2d' in done.stdout and 'linear-ridge' in done.stdout


def test_own_backbone(shell):
    out = shell(
        'PYTHONPATH=docs/examples python tools/train.py docs/examples/hsg_small_conv_net.py',
        '--no-validate', '--cfg-options', *SHORT, 'train_cfg.max_iters=2',
        'train_dataloader.dataset.num_images=4', 'default_hooks.logger.interval=1',
    )  # fmt: skip
    assert 'loss_appearance' in out and 'Last checkpoint' in out


def test_own_data_set(shell):
    videos = shell.folder / 'my_videos'
    videos.mkdir()
    scenes = SyntheticScenes(num_images=6, image_size=80)
    frames = np.stack([scenes.get_data_info(i)['img'] for i in range(6)])
    np.save(videos / 'a.npy', frames[:2])
    np.save(videos / 'b.npy', frames[2:])
    out = shell(
        'PYTHONPATH=docs/examples python tools/train.py docs/examples/croc_video_frames.py '
        '--data-root my_videos',
        '--no-validate', '--cfg-options', *SHORT, 'train_cfg.max_epochs=2',
        'default_hooks.logger.interval=1',
    )  # fmt: skip
    assert '[2][3/3]' in out and 'Last checkpoint' in out


def test_own_metric(shell):
    make_voc(shell.folder / 'data' / 'VOCdevkit' / 'VOC2012')
    test = (
        'PYTHONPATH=docs/examples python tools/test.py docs/examples/token_similarity_voc.py random'
    )
    out = shell(test, '--cfg-options', 'test_dataloader.num_workers=0')
    cosine = float(re.search(r'token-similarity/cosine: ([\d.]+)', out)[1])
    assert 0 < cosine < 100
