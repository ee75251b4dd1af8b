"""Weights in one .safetensors file."""

from safetensors import safe_open

from mmcroc.export.export import export_backbone
from mmcroc.features.pretrained_backbone import load_backbone
from tests.support.random_models import IMAGES, assert_same_tokens, assert_same_weights, run_usage


def test_safetensors_gives_the_same_weights_and_tokens(full_size, tmp_path):
    export = export_backbone(full_size.path, 'safetensors', tmp_path / 'out.safetensors')
    backbone = run_usage(export)['backbone']
    backbone.eval()
    back = load_backbone(str(export.path))
    for found in (backbone, back):
        assert_same_weights(found.state_dict(), full_size.backbone.state_dict())
    assert_same_tokens(backbone(IMAGES)[-1], full_size.tokens(IMAGES))


def test_metadata_are_strings_in_the_file(croc, tmp_path):
    export_backbone(croc.path, 'safetensors', tmp_path / 'out.safetensors')
    with safe_open(tmp_path / 'out.safetensors', 'pt') as file:
        metadata = file.metadata()
    assert metadata['method'] == 'CrOC' and metadata['network'] == 'teacher'
    assert metadata['epochs'] == '7' and metadata['mean'] == '[120, 110, 100]'
    assert len(metadata['config_sha256']) == len(metadata['source_sha256']) == 64
