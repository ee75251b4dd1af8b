"""Where [CLS] looks, against the attention module itself."""

import math

import torch

from mmcroc.features.vision_transformer import cls_attention
from tests.support.croc_models import build_croc


def qkv_of(backbone, images):
    """What the last attention is given, and its queries, keys and values: (3, B, h, N, d)."""
    seen = []
    attention = backbone.layers[-1].attn
    handle = attention.register_forward_hook(lambda module, given, out: seen.append((given, out)))
    with torch.no_grad():
        backbone(images)
        handle.remove()
        ((tokens,), out) = seen[0]
        qkv = attention.qkv(tokens).unflatten(-1, (3, attention.num_heads, -1))
    return qkv.permute(2, 0, 3, 1, 4), out


def test_it_is_the_softmax_of_scaled_products_by_loops():
    backbone = build_croc().teacher['backbone']
    (query, key, _), _ = qkv_of(backbone, torch.randn(2, 3, 32, 24))
    found = cls_attention(query, key)
    assert found.shape == (2, 2, 13)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 2))
    for image in range(2):
        for head in range(2):
            logits = [
                float(query[image, head, 0] @ key[image, head, token]) / math.sqrt(12)
                for token in range(13)
            ]
            total = sum(map(math.exp, logits))
            want = torch.tensor([math.exp(logit) / total for logit in logits])
            torch.testing.assert_close(found[image, head], want)


def test_it_is_what_the_module_weights_its_values_by():
    backbone = build_croc().teacher['backbone']
    (query, key, value), out = qkv_of(backbone, torch.randn(2, 3, 32, 32))
    mixed = torch.einsum('bhn,bhnd->bhd', cls_attention(query, key), value).flatten(1)
    torch.testing.assert_close(backbone.layers[-1].attn.proj(mixed), out[:, 0])


def test_half_precision_is_computed_in_float32():
    query, key = torch.randn(2, 1, 2, 5, 8).bfloat16()
    torch.testing.assert_close(cls_attention(query, key), cls_attention(query.float(), key.float()))
