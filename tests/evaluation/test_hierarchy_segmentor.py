"""Regions of every level for NFCovering: of HSG, of other models, of files."""

import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from mmcroc.config_files import read_config
from mmcroc.data.image_reading import read_image
from mmcroc.evaluation.nf_covering import HierarchySegmentor, nf_covering
from mmcroc.inference.segmentation import init_model, segment_image
from tests.support.hsg_models import save_hsg
from tests.support.mini_data import make_bsds
from tests.support.paths import CONFIGS, TOOLS

CONFIG = CONFIGS / 'eval' / 'nfcovering-hsg_bsds.py'


@pytest.fixture(scope='module')
def bsds(tmp_path_factory):
    root = tmp_path_factory.mktemp('bsds')
    make_bsds(root)
    # PNG, so that OpenCV and Pillow read the same pixels.
    for path in (root / 'images' / 'val').glob('*.jpg'):
        read = Image.open(path)
        read.save(path.with_suffix('.png'))
        path.unlink()
    return root


@pytest.fixture(scope='module')
def hsg(tmp_path_factory):
    return str(save_hsg(tmp_path_factory.mktemp('hsg'))[1])


def evaluate(bsds, work_dir, **model):
    cfg = read_config(CONFIG)
    cfg.model.update(model, longer_side=64)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.data_root = str(bsds)
    cfg.update(work_dir=str(work_dir), log_level='WARNING', experiment_name=str(work_dir))
    runner = Runner.from_cfg(cfg)
    runner.test()
    return runner.test_loop.evaluator.metrics[0].report


def want(bsds, maps_of):
    """NFCovering per level and of all, image by image."""
    scores = []
    for path in sorted((bsds / 'images' / 'val').iterdir()):
        maps = torch.from_numpy(np.stack(list(maps_of(path).values())))
        own = []
        for one in sorted((bsds / 'gt_regions' / 'val').glob(f'{path.stem}_*.png')):
            truth = torch.from_numpy(np.asarray(Image.open(one)).astype(np.int64))
            levels, best = nf_covering(maps, truth)
            own.append([*levels.tolist(), float(best)])
        scores.append(np.mean(own, 0))
    return 100 * np.mean(scores, 0)


def test_hsgs_levels_are_scored_under_their_names(bsds, hsg, tmp_path):
    report = evaluate(bsds, tmp_path, model=hsg)
    assert list(report['metrics']) == ['segments', 'level_1', 'level_2', 'best']
    model = init_model(None, hsg)
    expected = want(bsds, lambda path: segment_image(model, read_image(path), longer_side=64))
    assert list(report['metrics'].values()) == pytest.approx(expected.tolist())
    assert report['num_images'] == 3


def test_hsgs_segments_are_cut_along_a_folder_of_maps(bsds, hsg, tmp_path):
    report = evaluate(bsds, tmp_path, model=hsg, oversegmentation=str(bsds / 'maps'))
    model = init_model(None, hsg)

    def maps(path):
        regions = bsds / 'maps' / f'{path.stem}.png'
        return segment_image(model, read_image(path), regions, longer_side=64)

    assert list(report['metrics'].values()) == pytest.approx(want(bsds, maps).tolist())


@pytest.mark.parametrize('clusters', [None, 3])
def test_other_models_give_k_clusters(bsds, tmp_path, clusters):
    report = evaluate(bsds, tmp_path, model='rgb', num_clusters=clusters)
    model = init_model(None, 'rgb')
    expected = want(bsds, lambda path: segment_image(model, read_image(path), None, 64, clusters))
    assert report['metrics'] == pytest.approx(dict(clusters=expected[0], best=expected[1]))


def test_maps_of_a_folder_are_scored_as_they_are(bsds, tmp_path):
    """They are the first person's regions; the second drew two, whose larger part is one map's."""
    report = evaluate(bsds, tmp_path, model=f'regions:{bsds / "maps"}')
    expected = want(
        bsds, lambda path: {'r': np.asarray(Image.open(bsds / 'maps' / f'{path.stem}.png'), int)}
    )
    assert report['metrics'] == pytest.approx(dict(regions=expected[0], best=expected[1]))
    assert expected[0] > 50


def test_a_missing_map_and_a_missing_folder_are_named(bsds, hsg, tmp_path):
    (tmp_path / 'maps').mkdir()
    with pytest.raises(FileNotFoundError, match=r'maps/0\.png'):
        evaluate(bsds, tmp_path, model=f'regions:{tmp_path / "maps"}')
    for settings in (dict(model='regions:gone'), dict(model=hsg, oversegmentation='gone')):
        with pytest.raises(FileNotFoundError, match='gone is not a folder'):
            HierarchySegmentor(**settings)


def test_options_that_the_model_does_not_take_are_refused(hsg, tmp_path):
    folder = str(tmp_path)
    for settings, message in (
        (dict(model=hsg, num_clusters=3), 'num_clusters: the groups of HSG'),
        (dict(model='rgb', oversegmentation=folder), 'only HSG'),
        (dict(model='rgb', num_clusters=0), 'num_clusters must be at least 1'),
        (dict(model=f'regions:{folder}', num_clusters=3), 'neither num_clusters nor'),
    ):
        with pytest.raises(ValueError, match=message):
            HierarchySegmentor(**settings)
    stage_1 = str(save_hsg(tmp_path, grid=(1, 1))[1])
    with pytest.raises(ValueError, match='are the regions themselves'):
        HierarchySegmentor(stage_1)


def test_both_tools_run_it(bsds, hsg, tmp_path, monkeypatch, capsys):
    def run(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
        return capsys.readouterr().out

    common = ('--data-root', bsds, '--cfg-options', 'model.longer_side=64')
    maps = f'regions:{bsds / "maps"}'
    out = run(
        'evaluate.py', hsg, '--baseline', 'rgb', '--protocol', 'nfcovering-hsg', '--data', 'bsds',
        '--work-dir', tmp_path / 'a', '--num-workers', 0, *common,
    )  # fmt: skip
    header = next(line for line in out.splitlines() if 'on bsds, %' in line)
    assert [cell.strip() for cell in header.split('|')[3:-1]] == [
        'segments', 'level_1', 'level_2', 'clusters', 'best',
    ]  # fmt: skip
    assert (tmp_path / 'a' / 'results.json').is_file() and 'Pictures' not in out
    no_workers = 'test_dataloader.num_workers=0'
    out = run('test.py', CONFIG, maps, '--work-dir', tmp_path / 'b', *common, no_workers)
    assert 'nfcovering-hsg/regions' in out
