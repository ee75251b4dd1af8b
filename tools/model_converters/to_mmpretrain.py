"""Convert released weights to a checkpoint with a config inside, which every tool here takes.

CrOC's full checkpoints (student, teacher, heads) become mmcroc.CrOC's, HSG's (embedding_model)
mmcroc.HSG's: training goes on from them with load_from. Others, DINO's, iBOT's, DINOv2's, DINOv3's,
MAE's, ViTs and ResNets of timm and torchvision, folders of Hugging Face's (ViT, DINOv2), become a
backbone. What a file holds is told by its keys; nothing in it is run.

    python tools/model_converters/to_mmpretrain.py croc_vits_coco.pth checkpoints/croc_vits_coco.pth
    python tools/model_converters/to_mmpretrain.py dino_full.pth student.pth --network student
    python tools/model_converters/to_mmpretrain.py dinov2-small/ checkpoints/dinov2-small.pth
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmcroc.command_line import parser_of, refusals


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument(
        'source', help=".pth, .pt, .bin, .ckpt or .safetensors; a folder of Hugging Face's"
    )
    parser.add_argument('out', type=Path, help='the checkpoint to write, .pth')
    parser.add_argument(
        '--network',
        default='',
        choices=['student', 'teacher', 'backbone'],
        help="the backbone of this one alone (default: CrOC's and HSG's whole models, else the "
        "teacher's backbone)",
    )
    parser.add_argument(
        '--num-heads', type=int, help='attention heads of a ViT, where its width does not tell'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a file that is there')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    from mmcroc.export.mm_checkpoint import convert_checkpoint

    if args.out.suffix != '.pth':
        sys.exit(f'{args.out}: the checkpoint to write must end in .pth')
    if args.out.exists() and not args.overwrite:
        print(f'{args.out} is there already (--overwrite writes it anew)')
        return
    with refusals():
        found = convert_checkpoint(args.source, args.out, args.network, args.num_heads)
    print(f'{args.source} ({found}): converted to {args.out}')


if __name__ == '__main__':
    main()
