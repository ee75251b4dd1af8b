"""tools/train.py as users call it."""

import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mmcroc.features.vision_transformer import VisionTransformer
from tests.support.fork_server import PYTHON
from tests.support.paths import CONFIGS, ROOT, TOOLS
from tests.support.processes import call, train
from tests.support.weight_files import vit

SHORT = [
    'train_cfg.max_epochs=2',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'default_hooks.logger.interval=1',
]
SMALL_PROBE = [
    'val_dataloader.dataset.num_images=3',
    'val_evaluator.1.train_dataloader.dataset.num_images=3',
]


def test_the_demo_trains_and_says_where_things_are(tmp_path):
    done = train(
        'croc_vit-t_scenes.py',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *SHORT,
        *SMALL_PROBE,
        'train_dataloader.dataset.num_images=4',
    )
    assert done.returncode == 0, done.stderr
    checkpoint = tmp_path / 'epoch_2.pth'
    assert checkpoint.exists()
    assert f'Last checkpoint: {checkpoint}' in done.stdout
    assert "prefix='teacher.backbone.'" in done.stdout
    logged = done.stdout
    first = re.split(r'Epoch\((?:train|val)\)', logged)[0].splitlines()
    assert len(first) < 25, 'one screen, of which the first probe takes some lines'
    assert 'SyntheticScenes, 4 images, 2 an iteration' in logged
    assert '2 epochs of 2 iterations' in logged and f'folder   {tmp_path} (log file' in logged
    noise = 'OneDL', 'MultiScaleDeformableAttention', 'FileClient', 'pin_memory', 'DataLoader will'
    assert not [word for word in noise if word in done.stdout + done.stderr]
    (file,) = tmp_path.glob('*/*.log')
    assert 'Config:' in file.read_text() and 'Hooks will be executed' in file.read_text()
    for name in ('loss_image', 'loss_cluster', 'entropy_image', 'kl_cluster', 'num_clusters'):
        assert f'{name}: ' in logged
    for name in ('valid_clusters', 'grad_norm', 'weight_decay', 'teacher_momentum', 'lr'):
        assert f'{name}: ' in logged
    table = logged.split('What training gained:')[1]
    assert 'clustering-probe/mIoU' in table and 'linear-ridge-probe/mIoU' in table
    for name in ('teacher_temperature', 'data_time', 'images_per_second'):
        assert f'{name}: ' in logged


def test_two_processes_train_on_a_cpu(tmp_path):
    """The launcher is started, and starts what it is told to: Pythons that are forked."""
    python = tmp_path / 'python'
    python.write_text(f'#!/bin/sh\nexec {shlex.join(PYTHON)} "$@"\n')
    python.chmod(0o755)
    done = call(
        'bash',
        TOOLS / 'dist_train.sh',
        CONFIGS / 'croc_vit-t_scenes.py',
        2,
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        *SHORT,
        *SMALL_PROBE,
        'train_dataloader.dataset.num_images=8',
        'default_hooks.token_pictures=None',
        PORT='29533',
        PYTHON_EXEC=str(python),
        PATH=f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'work' / 'epoch_2.pth').exists()
    (file,) = tmp_path.glob('work/*/*.log')
    assert 'Distributed training: True' in file.read_text()
    assert '2 process(es)' in done.stdout
    assert not (tmp_path / 'work' / 'pictures').exists(), 'default_hooks.NAME=None turns a hook off'


def test_weights_of_another_architecture_are_refused_in_a_sentence_with_the_settings(tmp_path):
    """Once they were loaded as far as they fitted, and training went on."""
    other = dict(embed_dims=96, num_layers=3, num_heads=3, feedforward_channels=384)
    backbone = VisionTransformer(arch=other, img_size=64, patch_size=16)
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    done = train(
        'croc_vit-t_scenes.py',
        '--no-validate',
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        *SHORT,
        f'load_from={tmp_path / "other.pth"}',
    )
    assert done.returncode != 0 and 'Traceback' not in done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith('these weights do not fit the VisionTransformer (backbone)')
    assert said.endswith('give the backbone patch_size=16')


@pytest.fixture
def folder(tmp_path):
    """Two images and one that is none."""
    images = tmp_path / 'images' / 'nested'
    images.mkdir(parents=True)
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (70, 70, 3), dtype=np.uint8)
        Image.fromarray(noise).save(images / f'{i}.jpg')
    (images / 'text.jpg').write_text('no image')
    return tmp_path / 'images'


FOLDER_OPTIONS = [
    'model.backbone.arch=deit-tiny',
    'model.neck.in_channels=192',
    'model.neck.num_prototypes=64',
    'model.head.num_prototypes=64',
    'model.neck.num_cluster_prototypes=64',
    'model.head.num_cluster_prototypes=64',
    'train_cfg.max_epochs=11',
    'train_dataloader.batch_size=1',
    'train_dataloader.num_workers=0',
]


def test_an_unreadable_image_beyond_the_limit_stops_the_run_by_name(folder, tmp_path):
    done = train(
        'croc_vit-s_folder.py',
        '--data-root',
        folder,
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        *FOLDER_OPTIONS,
        'default_hooks.unreadable_images.max_unreadable=0',
    )
    assert done.returncode != 0
    assert 'max_unreadable=0' in done.stderr and 'text.jpg' in done.stderr


def test_a_folder_and_a_backbone_are_all_that_post_training_needs(folder, tmp_path):
    """Two steps from a tiny ViT of two blocks, as timm names its weights."""
    torch.save(vit().state_dict(), tmp_path / 'tiny.pth')
    command = [
        'croc_vit-s14_folder_post-dinov2.py',
        *('--data-root', folder, '--work-dir', tmp_path / 'work'),
        *('--backbone', tmp_path / 'tiny.pth', '--cfg-options'),
        *SHORT,
        'train_dataloader.batch_size=1',
        'model.trained_blocks=1',
        'model.freeze_backbone_share=0.5',
        'train_dataloader.dataset.indices=1',
        'default_hooks.token_pictures=None',
    ]
    done = train(*command, 'train_dataloader.dataset.pipeline.0.size=32')
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / 'work' / 'epoch_2.pth', weights_only=False)['state_dict']
    given = vit().state_dict()
    same, other = 'blocks.0.attn.qkv.weight', 'blocks.1.attn.qkv.weight'
    for network in ('backbone', 'teacher.backbone'):
        assert torch.equal(state[f'{network}.layers.0.attn.qkv.weight'], given[same])
        assert not torch.equal(state[f'{network}.layers.1.attn.qkv.weight'], given[other])
    refused = train(*command, 'train_dataloader.dataset.pipeline.0.size=36')
    assert refused.returncode != 0 and 'Traceback' not in refused.stderr
    said = refused.stderr.strip().splitlines()[-1]
    assert said.startswith('--backbone') and 'no multiple of its patches of 8 px' in said


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (('croc_vit-t_scene.py',), 'no such config'),
        (('mmcroc::croc_vit-t_scene.py',), 'no such config'),
        (('croc_vit-s_folder.py', '--data-root', 'gone'), 'gone is not a folder'),
        (('croc_vit-s_folder.py', '--resume', 'gone.pth'), 'no checkpoint at gone.pth'),
        (('croc_vit-s_folder.py', '--backbone', 'gone.pth'), 'no checkpoint at gone.pth'),
        (('croc_vit-s_folder.py', '--backbone', 'hf:./gone'), 'no checkpoint at gone'),
    ],
)
def test_a_wrong_name_costs_no_import(arguments, said):
    """Once it took nine seconds, and some ended in a traceback."""
    name, *rest = arguments
    config = name if '::' in name else CONFIGS / name
    command = [sys.executable, '-X', 'importtime', TOOLS / 'train.py', config, *rest]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=dict(os.environ, PYTHONPATH=ROOT)
    )
    assert done.returncode and said in done.stderr and 'Traceback' not in done.stderr
    assert not re.search(r'\| +(torch|mmengine)$', done.stderr, re.MULTILINE)


def test_a_schedule_without_room_is_refused_in_a_sentence(tmp_path):
    """Once in a traceback after the whole config."""
    done = train('croc_vit-t_scenes.py', '--work-dir', tmp_path, '--no-validate', '--cfg-options',
                 'train_cfg.max_epochs=1', 'train_dataloader.dataset.num_images=32')  # fmt: skip
    assert done.returncode and 'Traceback' not in done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert 'warmup=1 epochs must be shorter than the schedule of 1 epochs' in said


def test_a_wrong_data_root_is_named(tmp_path):
    done = train(
        'croc_vit-s_folder.py', '--data-root', tmp_path / 'nowhere', '--work-dir', tmp_path / 'work'
    )
    assert done.returncode != 0
    assert 'data_root' in done.stderr and str(tmp_path / 'nowhere') in done.stderr


@pytest.mark.parametrize('protocol', ['clustering-leopart', 'linear-leopart'])
def test_training_without_weights_is_refused_with_the_command_that_was_meant(tmp_path, protocol):
    """Once they trained a head on, or scored, random weights."""
    config = CONFIGS / 'eval' / f'{protocol}_voc.py'
    done = call(sys.executable, TOOLS / 'train.py', config, '--work-dir', tmp_path)
    assert done.returncode != 0
    assert 'tools/evaluate.py MODEL' in done.stderr and 'model.backbone.model=MODEL' in done.stderr
    assert 'Traceback' not in done.stderr
