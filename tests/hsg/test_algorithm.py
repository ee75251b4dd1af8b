"""HSG as an algorithm of MMPretrain: a whole step."""

import contextlib

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

from mmcroc.hsg import contrast, grouping, modularity
from mmcroc.registry import MODELS
from tests.support.devices import ON_DEVICES, no_waiting
from tests.support.hsg_models import hsg_config

SIDE = 64


def build(device, **settings):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    cfg = hsg_config()
    model = MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor'], **settings))
    return model.to(device).train()


def batch():
    """Two images as the loader gives them: two views each, with 16 regions."""
    regions = torch.arange(16).view(4, 4).repeat_interleave(16, 0).repeat_interleave(16, 1)
    return dict(
        inputs=list(torch.randint(256, (2, 2, 3, SIDE, SIDE), dtype=torch.uint8)),
        oversegmentation=regions.expand(2, 2, SIDE, SIDE),
    )


@ON_DEVICES
def test_a_training_step_never_waits_for_the_device(device, monkeypatch):
    """From the loader's batch to the weights."""
    model = build(device)
    if device == 'cpu':  # which compares the limit at once and cuts empty places off
        model.head.segment_limit.limit = None
        for module in (contrast, grouping, modularity):
            monkeypatch.setattr(module, 'filled_places', lambda mask: mask.shape[1])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    for step in range(2):
        data = batch()
        # The first step makes what later ones find: momenta, libraries' handles.
        with no_waiting(device) if step else contextlib.nullcontext():
            losses = model.train_step(data, wrapper)
    assert all(value.isfinite() for value in losses.values())
    moved = [not torch.equal(p, before[name]) for name, p in model.named_parameters()]
    assert sum(moved) > 0.9 * len(moved)


@ON_DEVICES
def test_losses_and_groups_are_float32_under_autocast(device):
    """The backbone computes in bfloat16; what is compared does not."""
    model, data = build(device), batch()
    data = model.data_preprocessor(data, True)
    groupings = []
    for level in model.head.levels:
        level.register_forward_hook(lambda module, args, found: groupings.append(found))
    with torch.autocast(device, torch.bfloat16):
        embedded = model.extract_feat(data['inputs'])[0]
        losses = model(**data, mode='loss')
    assert embedded.dtype == torch.bfloat16
    found = [*losses.values(), *(tensor for grouping in groupings for tensor in grouping[:2])]
    assert len(groupings) == 2 and {tensor.dtype for tensor in found} == {torch.float32}


@ON_DEVICES
def test_channels_last_is_a_matter_of_memory_alone(device):
    """From loaded weights, too. Compared in float64: batch norms of few pixels magnify rounding."""
    torch.manual_seed(1)
    plain, laid_out = build(device), build(device, channels_last=True)
    laid_out.load_state_dict(plain.state_dict())
    data, found = plain.data_preprocessor(batch(), True), []
    assert all(value.isfinite() for value in laid_out(**data, mode='loss').values())
    for model in (plain, laid_out):
        maps = model.backbone.double()(data['inputs'].double())[-1]
        assert maps.is_contiguous(memory_format=torch.channels_last) == (model is laid_out)
        maps.square().mean().backward()
        found.append((maps, [p.grad for p in model.backbone.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-9)
