"""Where a checkpoint's weights come from: what travels with them into every format."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import mmcroc
from mmcroc.features.dense_model import PREPROCESSOR
from mmcroc.weights.checkpoint_config import config_of_text, config_text, model_kind
from mmcroc.weights.checkpoint_file import split_checkpoint

#: What checkpoints that do not say otherwise were trained with, RGB in [0, 255].
MEAN, STD = (tuple(PREPROCESSOR[name]) for name in ('mean', 'std'))
#: Where a checkpoint that mmcroc exported keeps its metadata, in ``meta``.
KEY = 'mmcroc'


def provenance(path: str, checkpoint: dict, config: dict) -> dict:
    """Method, data, length of training, and fingerprints, as far as the checkpoint says.

    Args:
        path: The checkpoint's file.
        checkpoint: Content of the file.
        config: Config of the checkpoint, ``{}`` if there is none.

    Returns:
        Numbers, strings and lists of them. No folders of the machine it was trained on, except the
        last part of the data's. Of an export that is exported again, what it brought.
    """
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    if isinstance(meta.get(KEY), dict):
        return {key: value for key, value in meta[KEY].items() if _is_json(value)}
    text = config_text(checkpoint)
    found = dict(
        method=method_of(config),
        # MMEngine counts none where iterations are what is counted.
        epochs=meta.get('epoch', checkpoint.get('epoch')) or None,
        iterations=meta.get('iter'),
        converted_from=meta.get('converted_from'),
        source=Path(path).name,
        source_sha256=_sha256_of_file(path),
        mmcroc_version=mmcroc.__version__,
    )
    if text:
        found.update(
            experiment=meta.get('experiment_name'),
            seed=meta.get('seed'),
            data=data_of(text),
            config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )
    return {key: value for key, value in found.items() if value not in (None, '')}


def method_of(config: dict) -> str | None:
    """The method's name: of a config its model's type, without the scope."""
    kind = model_kind(config)
    if kind == 'mmcroc.CrOC' and not config['model'].get('target_generator'):
        return 'DINO (CrOC without its cluster level)'
    return kind.rpartition('.')[2] or None


def data_of(text: str) -> str | None:
    """The training data of a config's text, in words; None if it does not say."""
    try:
        loader = config_of_text(text, ('train_dataloader',)).get('train_dataloader') or {}
    except (ValueError, SyntaxError):  # metadata: a config that is no literal does no harm
        return None
    dataset = loader.get('dataset') or {}
    if not isinstance(dataset, dict) or 'type' not in dataset:
        return None
    words = [str(dataset['type']).rpartition('.')[2]]
    if dataset.get('data_root'):
        words.append(Path(str(dataset['data_root'])).name)
    folders = dataset.get('folders') or []
    words += [str(name) for name in ([folders] if isinstance(folders, str) else folders)]
    words += [str(dataset[key]) for key in ('ann_file', 'num_images') if dataset.get(key)]
    return ' '.join(words)


def normalisation_of(config: dict) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, RGB in [0, 255], of a config's data preprocessor."""
    model = config.get('model') or {}
    cfg = model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    return tuple(cfg.get('mean') or MEAN), tuple(cfg.get('std') or STD)


def protocol_results(
    paths: Sequence[str | os.PathLike], checkpoint: str, parts: Sequence[str]
) -> list[dict]:
    """Results of a network in files that tools/evaluate.py wrote.

    Args:
        paths: ``results.json`` files.
        checkpoint: The network's file, or its name if it is of none.
        parts: Parts that may follow it in names of this network, ``''`` for none.

    Returns:
        For each: ``protocol``, ``data``, ``metrics`` in percent.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: One is none of tools/evaluate.py, or holds nothing of this network.
    """
    names = [f'{checkpoint}:{part}' if part else checkpoint for part in parts]
    found = []
    for path in paths:
        try:
            results = json.loads(Path(path).read_text())['results']
            own = [
                {key: result[key] for key in ('protocol', 'data', 'metrics')}
                for result in results
                if any(is_same_model(result['model'], name) for name in names)
            ]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
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
    if one[1] != other[1]:
        return False
    parts, whole = Path(one[0]).parts, Path(other[0]).absolute().parts
    return one == other or whole[-len(parts) :] == parts


def as_strings(metadata: dict) -> dict[str, str]:
    """Metadata for formats that carry strings only: what is not one becomes JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in metadata.items()
    }


def as_comments(metadata: dict) -> str:
    """Metadata as comment lines of a Python file."""
    return '\n'.join(f'#   {key}: {value}' for key, value in as_strings(metadata).items())


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _sha256_of_file(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
