"""onnxruntime runs it and gives the same."""

import copy
import sys

import onnx
import pytest
import torch
from torch.nn import functional as F

from mmcroc.export.export import export_backbone
from mmcroc.features.pretrained_backbone import load_backbone
from tests.support.hsg_models import save_hsg
from tests.support.random_models import IMAGES, OTHER_IMAGES, assert_same_tokens, run_usage


def run(export, images):
    return torch.from_numpy(run_usage(export, images=images.numpy())['tokens'])


@pytest.fixture(scope='module')
def export_once(tmp_path_factory):
    """Exports, each made once: tracing takes seconds."""
    made = {}

    def export(saved):
        if saved.path not in made:
            out = tmp_path_factory.mktemp('onnx') / 'out.onnx'
            made[saved.path] = export_backbone(saved.path, 'onnx', out)
        return made[saved.path]

    return export


@pytest.mark.parametrize('images', [IMAGES, OTHER_IMAGES[:1], OTHER_IMAGES], ids=lambda x: x.shape)
def test_onnxruntime_gives_the_same_tokens_at_any_size(full_size, images, export_once):
    assert_same_tokens(run(export_once(full_size), images), full_size.tokens(images))


def test_sizes_that_are_no_multiple_are_padded_as_mmpretrain_does(vit_small, export_once):
    images = OTHER_IMAGES[:, :, :70, :33]
    wanted = vit_small.tokens(F.pad(images, (0, 15, 0, 10)))
    assert_same_tokens(run(export_once(vit_small), images), wanted)


def test_metadata_are_in_the_graph(croc, export_once):
    props = {p.key: p.value for p in onnx.load(export_once(croc).path).metadata_props}
    assert props['method'] == 'CrOC' and props['epochs'] == '7'
    assert 'float32 (B, 32, h, w)' in props['output'] and props['std'] == '[60, 55, 50]'


def test_hsgs_pixel_embedding_goes_whole(tmp_path):
    _, path = save_hsg(tmp_path)
    wanted = load_backbone(str(path))
    wanted.eval()
    export = export_backbone(path, 'onnx', tmp_path / 'out.onnx', with_neck=True)
    exact = copy.deepcopy(wanted).double()
    for images in (IMAGES, OTHER_IMAGES):
        with torch.no_grad():
            tokens, truth = wanted(images)[0], exact(images.double())[0]
        # Its batch norms divide by little: torch's own rounding shows, onnxruntime's is no worse.
        rounding = (tokens - truth).abs().max()
        assert (run(export, images) - truth).abs().max() <= 2 * rounding < 1e-3
    with pytest.raises(ValueError, match='neck'):
        export_backbone(path, 'timm', tmp_path / 'out.pth', with_neck=True)


def test_a_missing_onnx_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match=r'mmcroc\[export\]'):
        export_backbone('random:deit-tiny', 'onnx', tmp_path / 'out.onnx')
