"""Video object segmentation on DAVIS 2017: the first frame's mask propagated, J&F.

Protocol ``davis`` is that of DINO's script, ``davis-dinov3`` that of DINOv3's notebook. Both are
scored as davis2017-evaluation scores its semi-supervised task.

    model = mmcroc.features.load_model('timm:vit_small_patch16_224.dino', 'cuda')
    report = evaluate_davis(model, 'data/DAVIS', out_dir='work_dirs/davis')
    print(davis_table(report))
"""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prettytable import PrettyTable
from torch import Tensor, nn

from mmcroc.evaluation.davis_folder import (
    VOID,
    Video,
    has_masks,
    read_frame,
    read_mask,
    read_masks,
    read_split,
    write_masks,
)
from mmcroc.evaluation.davis_propagation import first_labels, label_map, propagate
from mmcroc.evaluation.davis_scores import score_frame, statistics
from mmcroc.evaluation.davis_settings import DAVIS, DavisSettings
from mmcroc.evaluation.progress import Progress
from mmcroc.features.dense_model import DenseModel
from mmcroc.features.pretrained_backbone import load_model
from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.numerics.segment_memory import model_fingerprint
from mmcroc.pictures.label_maps import save_png
from mmcroc.pictures.videos import video_sheet, write_moving_picture

#: What is told of an object: mean, recall and decay of J and of F.
STATISTICS = ('J', 'J_recall', 'J_decay', 'F', 'F_recall', 'F_decay')


def evaluate_davis(
    model: DenseModel | nn.Module,
    data_root: str | Path,
    split: str = 'val',
    settings: DavisSettings = DAVIS,
    out_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Propagate the first masks of a split's sequences with a model's features, and score them.

    Ranks share the sequences and return the same. Every rank must call.

    Args:
        model: Frozen dense model, or any module that
            :func:`mmcroc.features.load_model` takes.
        data_root: Folder of DAVIS 2017, with ``JPEGImages/480p``, ``Annotations/480p`` and
            ``ImageSets/2017``.
        split: Name of a list in ``ImageSets/2017``. A split of which only first frames are
            annotated (``'test-dev'``) is propagated and not scored.
        settings: Settings of the protocol.
        out_dir: Folder for results: ``masks/SEQUENCE/FRAME.png`` with the colours of DAVIS,
            ``pictures/SEQUENCE.png`` and ``.gif``. A sequence that is there, computed with the
            same model and settings, is not propagated again. None: nothing is written.

    Returns:
        Report, ready for JSON: ``protocol``, ``split``, ``settings``; ``metrics`` in percent, means
        over the objects of all sequences: ``'J&F'`` and :data:`STATISTICS`; ``objects`` and
        ``sequences`` with their own; ``num_frames``, ``num_objects``, ``ranks``, ``seconds``.

    Raises:
        FileNotFoundError, ValueError: As :func:`mmcroc.evaluation.davis_folder.read_split`; or
            features that are not finite.
        UnreadableImageError: A frame or a mask is broken.
    """
    began = time.perf_counter()
    videos = read_split(data_root, split)
    dense = model if isinstance(model, DenseModel) else load_model(model, _device_of(model))
    if isinstance(dense, nn.Module):
        dense.eval()
    folder = None if out_dir is None else Path(out_dir, 'masks')
    key = '' if folder is None else _model_key(dense)
    own = _share(videos)
    records = {video.name: _record(video, settings, key) for video in own}
    there = {v.name for v in own if folder and has_masks(v, folder, records[v.name])}
    todo = sum(len(video.frames) - 1 for video in own if video.name not in there)
    progress = Progress(settings.protocol, todo, 'frame')
    table, seconds = np.zeros((len(videos), 255, len(STATISTICS))), np.zeros(len(videos))
    for video in own:
        start = time.perf_counter()
        if folder and video.name in there:
            masks = read_masks(video, folder)
        else:
            masks = segment_video(dense, video, settings, progress)
            if folder:
                write_masks(video, folder, masks, records[video.name])
        place = videos.index(video)
        if video.scored:
            table[place, : video.num_objects] = score_video(video, masks)
        if out_dir is not None:
            _draw(video, masks, Path(out_dir, 'pictures'), fresh=video.name not in there)
        seconds[place] = time.perf_counter() - start
    table, seconds = (all_reduce_sum(torch.from_numpy(x)).numpy() for x in (table, seconds))
    scores = _scores(videos, table)
    for sequence, spent in zip(scores['sequences'], seconds.tolist(), strict=True):
        sequence['seconds'] = spent
    return dict(
        protocol=settings.protocol,
        split=split,
        settings=dataclasses.asdict(settings),
        **scores,
        ranks=get_world_size(),
        seconds=time.perf_counter() - began,
    )


def evaluate_davis_by(
    model: DenseModel | nn.Module,
    data_root: str | Path,
    split: str,
    out_dir: str | Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """:func:`evaluate_davis` with settings one by one, as protocol files hold them."""
    return evaluate_davis(model, data_root, split, DavisSettings(**settings), out_dir)


def score_davis(results: str | Path, data_root: str | Path, split: str = 'val') -> dict[str, Any]:
    """Score a folder of masks, whatever made them.

    Args:
        results: Folder with ``SEQUENCE/FRAME.png``, pixels the ids of objects.
        data_root: Folder of DAVIS 2017.
        split: Name of a list in ``ImageSets/2017``.

    Returns:
        Report as of :func:`evaluate_davis`, without settings.

    Raises:
        FileNotFoundError, ValueError: As :func:`mmcroc.evaluation.davis_folder.read_split`; or a
            mask is missing, of another size, or has an object that the sequence has not.
        UnreadableImageError: A mask is broken.
    """
    videos = read_split(data_root, split)
    if not videos[0].scored:
        raise ValueError(f'{split} of {data_root} cannot be scored: only first frames have masks')
    table = np.zeros((len(videos), 255, len(STATISTICS)))
    for video, rows in zip(videos, table, strict=True):
        rows[: video.num_objects] = score_video(video, read_masks(video, results))
    return dict(protocol='davis2017-evaluation', split=split, **_scores(videos, table))


def segment_video(
    model: DenseModel, video: Video, settings: DavisSettings, progress: Progress | None = None
) -> list[np.ndarray]:
    """Propagate a sequence's first mask.

    Args:
        model: Frozen dense model.
        video: Sequence.
        settings: Settings of the protocol.
        progress: Counts each frame.

    Returns:
        Ids of every frame, uint8 (H, W); the first frame's as they were given.
    """
    given = read_mask(video.annotations[0])
    ids = np.where(given == VOID, 0, given) if settings.void_to_background else given
    if video.scored and ids.max() > video.num_objects:
        raise ValueError(
            f'{video.annotations[0]} has void pixels ({VOID}), which void_to_background=False '
            'makes an object: such masks cannot be scored'
        )
    size = settings.frame_size(video.size, model.stride)
    maps = _features(model, video, settings, size)
    first = next(maps)
    soft = propagate(
        chain([first], maps),
        first_labels(ids, (first.shape[1], first.shape[2]), settings.mask_resize),
        settings.num_previous,
        settings.radius,
        settings.window,
        settings.topk,
        settings.temperature,
    )
    masks = [given]
    for labels in soft:
        masks.append(
            label_map(labels, size, video.size, settings.upsampling, settings.constant_to_zero)
        )
        if progress:
            progress.step()
    return masks


def _features(
    model: DenseModel, video: Video, settings: DavisSettings, size: tuple[int, int]
) -> Iterator[Tensor]:
    """Map (C, h, w) of every frame, in turn."""
    device = _device_of(model)
    for path in video.frames:
        frame = read_frame(path, size, settings.frame_resize, settings.std)
        with torch.no_grad():
            (features,) = model.features(frame[None].to(device))
        if not bool(features.isfinite().all()):
            raise ValueError(
                f'the features of {path} hold NaN or infinity: check the checkpoint, and the '
                'precision they were computed in'
            )
        yield features


def _device_of(model: DenseModel | nn.Module) -> torch.device:
    """Device of a model's weights; the CPU where it has none."""
    weights = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((weight.device for weight in weights), torch.device('cpu'))


def score_video(video: Video, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Statistics of a sequence's objects; the first and the last frame are left out.

    Args:
        video: Sequence, annotated.
        masks: Ids of every frame, uint8 (H, W).

    Returns:
        (n, 6), :data:`STATISTICS` of the objects 1 ... n.
    """
    inner = list(zip(video.annotations, masks, strict=True))[1:-1]
    values = [score_frame(read_mask(path), mask, video.num_objects) for path, mask in inner]
    region, contour = statistics(np.stack(values, axis=-1))
    return np.concatenate([region, contour], axis=1)


def davis_table(report: dict[str, Any]) -> str:
    """A table of every object and sequence in percent, and the means over objects, of a report."""
    table = PrettyTable(['sequence', 'object', 'J&F', *STATISTICS], align='r')
    table.title = f'{report["protocol"]}, {report["split"]}'
    table.align['sequence'] = 'l'

    def row(label: str, number: str | int, scores: dict[str, Any]) -> None:
        names = ('J&F', *STATISTICS)
        cells = [f'{scores[name]:.1f}' if name in scores else '' for name in names]
        table.add_row([label, number, *cells])

    for sequence in report['sequences']:
        own = [each for each in report['objects'] if each['sequence'] == sequence['name']]
        for each in own:
            row(each['sequence'], each['object'], each)
        if len(own) > 1:
            row(sequence['name'], 'mean', sequence)
    table.add_divider()
    row(f'{len(report["sequences"])} sequences', report['num_objects'], report['metrics'])
    return table.get_string()


def _share(videos: Sequence[Video]) -> list[Video]:
    """This rank's sequences: each goes to the rank with the fewest frames, the longest first."""
    frames = [0] * get_world_size()
    own = []
    for video in sorted(videos, key=lambda video: -len(video.frames)):
        rank = frames.index(min(frames))
        frames[rank] += len(video.frames)
        if rank == get_rank():
            own.append(video)
    return own


def _scores(videos: Sequence[Video], table: np.ndarray) -> dict[str, Any]:
    """Metrics, objects and sequences of a report.

    Args:
        videos: Sequences.
        table: (sequences, 255, 6), :data:`STATISTICS` of their objects 1, 2, ...
    """
    scored = videos[0].scored

    def named(values: np.ndarray) -> dict[str, float]:
        if not scored:
            return {}
        found = dict(zip(STATISTICS, (100 * values).tolist(), strict=True))
        return {'J&F': (found['J'] + found['F']) / 2, **found}

    objects, sequences, rows = [], [], []
    for video, own in zip(videos, table, strict=True):
        own = own[: video.num_objects]
        rows.append(own)
        objects += [
            dict(sequence=video.name, object=number, **named(values))
            for number, values in enumerate(own, 1)
        ]
        sizes = dict(frames=len(video.frames), objects=video.num_objects)
        sequences.append(dict(name=video.name, **sizes, **named(own.mean(0))))
    return dict(
        metrics=named(np.concatenate(rows).mean(0)),
        objects=objects,
        sequences=sequences,
        num_frames=sum(len(video.frames) for video in videos),
        num_objects=len(objects),
    )


def _model_key(model: DenseModel) -> str:
    """A name of a model that no other has."""
    digest = model_fingerprint(model) if isinstance(model, nn.Module) else model.provenance
    return f'{model.name} {digest}'


def _record(video: Video, settings: DavisSettings, key: str) -> str:
    """What a sequence's masks depend on, as JSON."""
    files = [*video.frames, video.annotations[0]]
    content = dict(
        model=key,
        settings=dataclasses.asdict(settings),
        bytes={path.name: path.stat().st_size for path in files},
    )
    return json.dumps(content, indent=1)


def _draw(video: Video, masks: Sequence[np.ndarray], folder: Path, fresh: bool) -> None:
    """Write a contact sheet and a moving picture of a sequence, unless they are there."""
    sheet, moving = folder / f'{video.name}.png', folder / f'{video.name}.gif'
    if fresh or not sheet.is_file():
        truth = [read_mask(path) for path in video.annotations] if video.scored else []
        maps = dict(labels=truth, prediction=masks) if truth else dict(prediction=masks)
        save_png(video_sheet(video.frames, maps), sheet)
    if fresh or not moving.is_file():
        write_moving_picture(moving, video.frames, masks)
