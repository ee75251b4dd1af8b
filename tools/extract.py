"""Extract dense features of images: the patch tokens of any frozen model, a file per image.

    python tools/extract.py hf:facebook/dinov2-small data/photos --out features
    python tools/extract.py work_dirs/croc/epoch_300.pth photo.jpg --out features --layers 5 8 -1
    python tools/extract.py timm:vit_small_patch16_224.dino data/photos --out features \\
        --format safetensors --dtype float32 --longer-side 1024

MODEL is anything that tools/evaluate.py takes: a checkpoint, timm:NAME, hf:NAME, ... Images are
resized so that their longer side is about --longer-side and both sides are whole tokens.

OUT mirrors the tree of the images: OUT/deep/b.npz for IMAGES/deep/b.jpg. A file holds `features`,
a map of (channels, rows, columns); with --layers a map `layer_N` of each, N as given; and
`metadata`, JSON: model, image, its size, the size that the model saw, stride. Layers are blocks of
a Vision Transformer or stages of a ResNet, from 0, or from the end if negative; those of a Vision
Transformer pass the final norm, so that -1 is `features`.

Images that are done are left alone, so an interrupted run is simply started again; other settings
need another OUT. Images that cannot be done are named and left out; the exit status is then 1.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import mmcroc
from mmcroc.atomic_file import atomic_file
from mmcroc.command_line import existing, parser_of, quiet, refusals, require_model
from mmcroc.data.each_image import exit_in_words, for_each_image
from mmcroc.foreign_files import read_json
from mmcroc.sole_writer import sole_writer

SETTINGS = 'settings.json'


def parse_args(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument('model', metavar='MODEL', help='the backbone')
    parser.add_argument('images', metavar='IMAGE_OR_FOLDER', type=existing)
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--layers', nargs='+', type=int, metavar='N',
                        help='layers to keep (default: the last)')  # fmt: skip
    parser.add_argument('--longer-side', type=int, default=512,
                        help='images are resized to this for the model (default: 512)')  # fmt: skip
    parser.add_argument('--dtype', choices=['float16', 'float32'], default='float16',
                        help='of the features (default: float16)')  # fmt: skip
    parser.add_argument('--format', choices=['npz', 'safetensors'], default='npz',
                        help='of the files (default: npz)')  # fmt: skip
    parser.add_argument('--device', help='default: cuda if there is one, else cpu')
    return parser.parse_args(argv)


def keep_settings(args):
    """Write the settings to OUT, or exit where it holds features of others."""
    names = ('model', 'layers', 'longer_side', 'dtype', 'format')
    settings = {name: getattr(args, name) for name in names}
    path = args.out / SETTINGS
    if not path.exists():
        with atomic_file(path) as file:
            file.write(json.dumps(settings, indent=1).encode())
        return
    with refusals():
        before = read_json(path)
    differ = [name for name in names if before.get(name) != settings[name]]
    if differ:
        listed = ', '.join(f'{n}: {before.get(n)} there, {settings[n]} here' for n in differ)
        sys.exit(f'{args.out} holds features of other settings ({listed}): give another --out')


def load(args):
    """The model; exits where there is none, or where it has no such layers."""
    import torch

    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with refusals(f'{args.model} cannot be used so: '):
        model = mmcroc.features.load_model(args.model, device)
        if args.layers:
            side = model.stride * 4
            model.layer_features(torch.zeros(1, 3, side, side, device=device), args.layers)
    return model


def extract(args, model, path, name):
    """Write an image's features."""
    image = mmcroc.data.read_image(path)
    options = dict(longer_side=args.longer_side)
    if args.layers:
        maps = mmcroc.dense_features(model, image, layers=args.layers, **options)
        features = {f'layer_{n}': each for n, each in zip(args.layers, maps, strict=True)}
    else:
        features = dict(features=mmcroc.dense_features(model, image, **options))
    metadata = dict(
        model=args.model,
        provenance=model.provenance,
        image=str(path),
        height=image.shape[0],
        width=image.shape[1],
        stride=model.stride,
        longer_side=args.longer_side,
    )
    mmcroc.inference.write_features(args.out / name, features, metadata, args.dtype)


def main(argv=None):
    quiet()
    args = parse_args(argv)
    with refusals():
        require_model(args.model)
        jobs = mmcroc.data.named_images(args.images, args.out)
    jobs = [(path, name.with_suffix(f'.{args.format}')) for path, name in jobs]
    model = load(args)
    todo = [job for job in jobs if not (args.out / job[1]).exists()]
    start = time.perf_counter()
    folders = {(args.out / name).parent for _, name in todo}
    with (
        refusals(),
        sole_writer(args.out, folders),
        exit_in_words('start again to go on, what is done is kept'),
    ):
        keep_settings(args)
        done, failed = for_each_image(todo, partial(extract, args, model))
    print(
        f'features of {len(done)} images, {len(jobs) - len(todo)} already there, {len(failed)} '
        f'failed in {time.perf_counter() - start:.0f} s: {args.out}'
    )
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
