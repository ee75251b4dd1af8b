"""Key names of the checkpoints that HSG's authors released."""

import re

from torch import Tensor

_LAYER = r'^(fine|coarse)_hrchy_transformer\._transformer\.(encoder|decoder)\.layers\.(\d+)\.'
_LEVELS = dict(fine=0, coarse=1)
#: (pattern of a released key of grouping or positions, our name), in the order they are tried
RELEASED_KEYS = [
    (r'^pos_embed\.row_embed\.', 'neck.position.row.'),
    (r'^pos_embed\.col_embed\.', 'neck.position.column.'),
    (r'^(fine|coarse)_query_embed\._query_embedding\.', r'head.levels.\1.query.'),
    (_LAYER + r'self_attn\.', r'head.levels.\1.\2.\3.self_attention.'),
    (_LAYER + r'multihead_attn\.', r'head.levels.\1.\2.\3.cross_attention.'),
    (_LAYER + r'(linear[12])\.', r'head.levels.\1.\2.\3.feed_forward.\4.'),
    (_LAYER + r'(norm[123])\.norm\.', r'head.levels.\1.\2.\3.\4.'),
    (
        r'^(fine|coarse)_hrchy_transformer\._transformer\.decoder\.norm\.norm\.',
        r'head.levels.\1.decoder_norm.',
    ),
    (r'^(fine|coarse)_hrchy_transformer\._transformer\.tgt_fc\.', r'head.levels.\1.start.'),
    (r'^(fine|coarse)_hrchy_transformer\.centroid_fc\.', r'head.levels.\1.centroid.'),
    (r'^(fine|coarse)_hrchy_transformer\.centroid_feat_fc\.', r'head.levels.\1.feature.'),
]


def convert_released_grouping(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the released positions, queries and transformers to ``neck.*`` and ``head.*``.

    Args:
        state: State dict under the released names.

    Returns:
        State dict under ours.

    Raises:
        KeyError: A key is not one of these.
    """
    converted = {}
    for key, value in state.items():
        for pattern, name in RELEASED_KEYS:
            renamed, found = re.subn(pattern, name, key)
            if found:
                renamed = re.sub(
                    r'levels\.(fine|coarse)', lambda m: f'levels.{_LEVELS[m[1]]}', renamed
                )
                converted[renamed] = value
                break
        else:
            raise KeyError(f'{key} is no key of the positions, queries and transformers of HSG')
    return converted
