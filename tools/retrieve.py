"""Find regions of other images that are like the one under a point.

    python tools/retrieve.py photo.jpg --point 120 80 --level coarse --memory data/photos \\
        --checkpoint work_dirs/hsg_r50_coco_stage2/iter_20000.pth --out out/retrieval.png

CHECKPOINT is of HSG (levels: segment, level_1, level_2, ...; fine and coarse are the first and the
last of these), or anything that tools/evaluate.py takes (level: clusters of the image's tokens).

MEMORY is a folder of images, or the .npz file that an earlier run made of one. Of a folder, the
regions of all images at all levels are kept in --memory-file (by default beside OUT, named after
folder and model) and read from there the next time, for any query at any level. A file made by
another model or other settings is refused; so is one whose folder holds other images by now.
Images that cannot be read are named and left out. The query's own image never answers. OUT shows
the query, its point ringed, and the nearest regions, each outlined, with its cosine and its
image's name.
"""

import os
import time
from pathlib import Path

import mmcroc
from mmcroc.command_line import (
    add_model,
    existing,
    folder,
    parser_of,
    positive,
    quiet,
    refusals,
    require_model,
)
from mmcroc.data.each_image import exit_in_words


def parse_args(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument('image', metavar='IMAGE', type=Path, help='the query')
    parser.add_argument('--point', nargs=2, type=int, required=True, metavar=('X', 'Y'),
                        help='pixel of the region, from the upper left')  # fmt: skip
    parser.add_argument('--level', required=True,
                        help='segment, fine, coarse, level_1, ... or clusters')  # fmt: skip
    parser.add_argument('--memory', type=existing, required=True, metavar='FOLDER_OR_FILE')
    parser.add_argument('--checkpoint', required=True)
    parser.add_argument('--out', type=Path, required=True, help='the picture, PNG')
    parser.add_argument('--memory-file', type=Path, help='where the memory of a folder is kept')
    parser.add_argument('--top-k', type=positive, default=5, help='regions to show (default: 5)')
    parser.add_argument('--oversegmentation', type=folder, metavar='FOLDER',
                        help='of HSG: PNG region maps of the images of the memory, by '
                        'their names')  # fmt: skip
    parser.add_argument('--query-regions', type=Path, metavar='FILE',
                        help="of HSG: the query's region map, PNG")  # fmt: skip
    parser.add_argument('--num-clusters', type=int, metavar='K',
                        help='of models other than HSG (default: 8)')  # fmt: skip
    add_model(parser)
    args = parser.parse_args(argv)
    if args.memory_file and not args.memory.is_dir():
        parser.error('--memory-file goes with a folder as --memory')
    if bool(args.oversegmentation) != bool(args.query_regions):
        parser.error('--oversegmentation and --query-regions go together: both sides alike')
    return args


def level_of(name, model):
    """A level's name as users say it, in the model's terms."""
    levels = mmcroc.inference.level_names(model)
    groups = [level for level in levels if level.startswith('level_')]
    terms = dict(segment='segments', cluster='clusters')
    if groups:
        terms |= dict(fine=groups[0], coarse=groups[-1])
    level = terms.get(name, name)
    if level not in levels:
        raise ValueError(f'--level {name}: this model has {", ".join([*terms, *levels])}')
    return level


def load_memory(args, model, settings):
    """The memory, made and kept if need be, its images' folder, and where it came from."""
    path, found = args.memory, None
    metadata = mmcroc.inference.memory_metadata(model, **settings)
    regions = args.oversegmentation and os.path.abspath(args.oversegmentation)
    if path.is_dir():
        root = os.path.abspath(path)  # links stay: their names are those of the region maps
        found = mmcroc.data.scan_images(root)
        name = f'{path.resolve().name}-{metadata["model"][:8]}.npz'
        path = args.memory_file or args.out.parent / name
    if path.exists():
        memory, origin = mmcroc.inference.read_context_memory(path, metadata)
        if origin['oversegmentation'] != regions:
            raise ValueError(
                f'the memory {path} was built with --oversegmentation '
                f'{origin["oversegmentation"]}, not {regions}'
            )
        if found is not None and sorted([*memory.images, *memory.failed]) != sorted(found):
            raise ValueError(
                f'{args.memory} holds other images than the memory {path} was built of: delete '
                'that, or name another --memory-file'
            )
        return memory, origin['root'], f'read from {path}'
    memory = mmcroc.inference.build_memory(model, found, regions_of(args, root), **settings)
    mmcroc.inference.save_context_memory(path, memory, root=root, oversegmentation=regions)
    return memory, root, f'written to {path}'


def regions_of(args, root):
    """From an image of the memory, below root, to its region map; None where there are none."""
    folder = args.oversegmentation
    return folder and (lambda image: folder / Path(image).relative_to(root).with_suffix('.png'))


def retrieve(args):
    """Make the picture; gives the summary."""
    model = mmcroc.inference.init_model(args.config, args.checkpoint, args.device)
    level = level_of(args.level, model)
    settings = dict(longer_side=args.longer_side, num_clusters=args.num_clusters)
    # The query first: what is wrong with it shows before the memory is built.
    described = mmcroc.inference.describe_regions(model, args.image, args.query_regions, **settings)
    query = described.region_at(level, *args.point)
    memory, root, origin = load_memory(args, model, settings)
    hits = mmcroc.inference.nearest_regions(
        memory, level, query.prototype, args.top_k, exclude=args.image
    )
    examples = [(f'query, {level}', described.image, query.mask)]
    find = regions_of(args, root)
    for path, similarity, prototype in hits:
        other = mmcroc.inference.describe_regions(model, path, find and find(path), **settings)
        region = other.nearest_to(level, prototype)
        examples.append((f'{similarity:.3f} {Path(path).name}', other.image, region.mask))
    sheet = mmcroc.pictures.retrieval_sheet(examples, point=args.point)
    mmcroc.pictures.save_png(sheet, args.out)
    number = len(memory.prototypes[level])
    return (
        f'{len(hits)} nearest of {number} regions ({level}) of {len(memory.images)} images, '
        f'{len(memory.failed)} left out; memory {origin}; picture: {args.out}'
    )


def main(argv=None):
    quiet()
    args = parse_args(argv)
    with refusals():
        require_model(args.checkpoint)
    began = time.perf_counter()
    with (
        refusals(errors=(mmcroc.data.UnreadableImageError,)),
        exit_in_words('a memory is kept only when it is whole'),
    ):
        summary = retrieve(args)
    print(f'{summary} ({time.perf_counter() - began:.0f} s)')


if __name__ == '__main__':
    main()
