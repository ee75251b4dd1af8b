"""Any frozen model behind one interface."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmcroc.evaluation.clustering_iou import ClusteringIoU
from mmcroc.features import DenseModel, FeatureSegmentor, load_model
from tests.support.hsg_models import save_hsg
from tests.support.weight_files import vit

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def small_conv_net():
    """Somebody else's: nothing of it is known here."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 8, 2, stride=2))


def test_somebody_elses_network_is_scored_in_five_lines():
    """Left and right half are of two colours: two clusters are the two classes."""
    images = torch.zeros(4, 3, 64, 64)
    images[:, 0, :, 32:] = 3
    masks = (images[:, :1] > 0).long()

    model = FeatureSegmentor(load_model(small_conv_net()))
    metric = ClusteringIoU(classes=['left', 'right'], pca_dim=2, seeds=[0])
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks]
    metric.process({}, [sample.to_dict() for sample in model.predict(images, samples)])
    score = metric.evaluate(len(images))

    assert score['clustering-leopart/mIoU'] == 100


class Tokens(nn.Module):
    """Tokens of patches of 8 px, with [CLS] or without."""

    def __init__(self, extra=0):
        super().__init__()
        self.patches, self.extra = nn.Conv2d(3, 5, 8, 8), extra

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT
        return torch.cat([tokens[:, : self.extra], tokens], 1)


class Last(nn.Module):
    """A network whose output comes last among others."""

    def __init__(self, network, kind):
        super().__init__()
        self.network, self.kind = network, kind

    def forward(self, images):
        return self.kind([images, self.network(images)])


@pytest.mark.parametrize('kind', [None, list, tuple])
@pytest.mark.parametrize('make', [small_conv_net, Tokens])
def test_maps_and_tokens_are_taken_alone_and_at_the_end(make, kind):
    network = make()
    model = load_model(Last(network, kind) if kind else network)
    got, want = model.features(IMAGES), network(IMAGES)
    assert got.shape == (2, model.channels, 8, 12) and model.stride == 8
    assert torch.equal(got, want if want.dim() == 4 else want.mT.unflatten(-1, (8, 12)))


@pytest.mark.parametrize(
    ('network', 'found'),
    [
        (Tokens(extra=1), r'Tokens gave features of \(2, 97, 5\) for images of \(2, 3, 64, 96\)'),
        (nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten()), r'features of \(2, \d+\)'),
        (Last(nn.Conv2d(3, 2, 8), dict.fromkeys), 'gave a dict'),
        (Last(nn.Conv2d(3, 2, 8), lambda maps: ()), 'gave a tuple'),
        (Last(nn.Conv2d(3, 2, 8), lambda maps: maps[1].sum()), r'features of \(\)'),
    ],
)
def test_other_outputs_are_named(network, found):
    with pytest.raises(ValueError, match=found):
        load_model(network).features(IMAGES)


def test_the_users_own_module_stays_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 2, 8), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    model = load_model(network)
    assert torch.equal(model.features(IMAGES), model.train().features(IMAGES))
    assert network.training and all(p.requires_grad for p in network.parameters())
    assert not model.features(IMAGES).requires_grad
    assert network[1].num_batches_tracked == 0


def test_every_kind_of_model_says_what_it_is(tmp_path):
    path = tmp_path / 'dino.pth'
    torch.save(vit().state_dict(), path)
    hsg = save_hsg(tmp_path)[1]
    for name, stride, channels, provenance in (
        ('rgb', 16, 5, 'no weights'),
        ('random:deit-tiny/8', 8, 192, 'random weights of seed 0'),
        (path, 8, 128, "timm's layout"),
        (hsg, 8, 16, 'checkpoint of mmcroc.HSG; whole model'),
        (f'{hsg}:backbone', 8, 128, 'backbone'),
        (small_conv_net(), 8, 8, 'a module'),
    ):
        model = load_model(name)
        assert isinstance(model, DenseModel)
        assert (model.stride, model.channels) == (stride, channels)
        assert provenance in model.provenance
        assert model.name == ('Sequential' if isinstance(name, nn.Module) else str(name))
        assert FeatureSegmentor(model).stride == stride


@pytest.mark.gpu
def test_features_are_computed_on_the_device():
    model = load_model('random:deit-tiny', 'cuda')
    want = load_model('random:deit-tiny').features(IMAGES[..., :64])
    got = model.features(IMAGES[..., :64].cuda())
    assert model.stride == 16 and got.is_cuda
    torch.testing.assert_close(got.cpu(), want, rtol=1e-3, atol=1e-3)
