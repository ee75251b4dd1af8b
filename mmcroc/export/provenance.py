"""Where a checkpoint's weights come from: what travels with them into every format."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

import mmcroc
from mmcroc.atomic_file import atomic_file
from mmcroc.features.dense_model import PREPROCESSOR
from mmcroc.foreign_files import read_json
from mmcroc.weights.checkpoint_content import config_of_text, config_text, model_kind
from mmcroc.weights.checkpoint_file import file_of, split_checkpoint

#: What checkpoints that do not say otherwise were trained with, RGB in [0, 255].
MEAN, STD = (tuple(PREPROCESSOR[name]) for name in ('mean', 'std'))
#: Where a checkpoint that mmcroc exported keeps its metadata, in ``meta``.
KEY = 'mmcroc'


def provenance(path: str, checkpoint: dict, config: dict) -> dict:
    """Method, data, length of training, and fingerprints, as far as a file and its config say.

    Numbers, strings and lists of them. No folders of the machine it was trained on, except the last
    part of the data's. Of an export that is exported again, what it brought.
    """
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    if isinstance(meta.get(KEY), dict):
        return meta[KEY]
    kind = model_kind(config)
    is_dino = kind == 'mmcroc.CrOC' and not config['model'].get('target_generator')
    fingerprint = hashlib.sha256()
    with open(file_of(path), 'rb') as file:
        while block := file.read(1 << 20):
            fingerprint.update(block)
    found = dict(
        method='DINO (CrOC without its cluster level)' if is_dino else kind.rpartition('.')[2],
        # MMEngine counts none where iterations are what is counted.
        epochs=meta.get('epoch', checkpoint.get('epoch')) or None,
        iterations=meta.get('iter'),
        converted_from=meta.get('converted_from'),
        source=Path(path).name,
        source_sha256=fingerprint.hexdigest(),
        mmcroc_version=mmcroc.__version__,
    )
    if text := config_text(checkpoint):
        found.update(
            experiment=meta.get('experiment_name'),
            seed=meta.get('seed'),
            data=data_of(text),
            config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )
    return {key: value for key, value in found.items() if value not in (None, '')}


def data_of(text: str) -> str | None:
    """The training data of a config's text, in words; None if it does not say."""
    try:
        loader = config_of_text(text, ('train_dataloader',)).get('train_dataloader') or {}
    except (ValueError, SyntaxError):  # metadata: a config that is no literal does no harm
        return None
    dataset = loader.get('dataset') or {}
    if not isinstance(dataset, dict) or 'type' not in dataset:
        return None
    folders = dataset.get('folders') or []
    words = [
        dataset['type'].rpartition('.')[2],
        Path(dataset.get('data_root') or '').name,
        *([folders] if isinstance(folders, str) else folders),
        *(dataset.get(key) for key in ('ann_file', 'num_images')),
    ]
    return ' '.join(str(word) for word in words if word)


def normalisation_of(config: dict) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, RGB in [0, 255], of a config's data preprocessor."""
    model = config.get('model') or {}
    cfg = model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    return tuple(cfg.get('mean') or MEAN), tuple(cfg.get('std') or STD)


def protocol_results(
    paths: Sequence[str | os.PathLike], checkpoint: str, parts: Sequence[str]
) -> list[dict]:
    """``protocol``, ``data`` and ``metrics`` (percent) of a network, of tools/evaluate.py's files.

    Args:
        paths: ``results.json`` files.
        checkpoint: The network's file, or its name if it is of none.
        parts: Parts that may follow it in names of this network, ``''`` for none.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: One is none of tools/evaluate.py, or holds nothing of this network.
    """
    names = [f'{checkpoint}:{part}' if part else checkpoint for part in parts]
    found = []
    for path in paths:
        try:
            results = read_json(path)['results']
            own = [
                {key: result[key] for key in ('protocol', 'data', 'metrics')}
                for result in results
                if any(is_same_model(result['model'], name) for name in names)
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path} is no results.json of tools/evaluate.py: {error}') from error
        if not own:
            models = sorted({str(result['model']) for result in results})
            raise ValueError(f'{path} holds no results of {names[0]}, but of {", ".join(models)}')
        found += own
    return found


def is_same_model(recorded: str, name: str) -> bool:
    """Whether a model's name in a results file means this one, seen from any working directory."""
    one, other = split_checkpoint(recorded), split_checkpoint(name)
    if not one or not other:
        return recorded == name
    parts, whole = Path(one[0]).parts, Path(other[0]).absolute().parts
    return one == other or (one[1] == other[1] and whole[-len(parts) :] == parts)


def as_strings(metadata: dict) -> dict[str, str]:
    """Metadata for formats that carry strings only: what is not one becomes JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }


def save_tensors(path: Path, state: dict[str, Tensor], metadata: dict) -> None:
    """Write a safetensors file, whole or not at all; transformers asks for ``format='pt'``."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with atomic_file(path) as file:
        file.write(save(tensors, as_strings(dict(metadata, format='pt'))))
