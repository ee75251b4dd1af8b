"""Export a backbone: one command, one file that another library loads.

    python tools/export.py work_dirs/croc/epoch_300.pth --format timm --out croc.safetensors

CHECKPOINT is anything that tools/evaluate.py takes; of CrOC the teacher's backbone is exported (or
--which student), of HSG the backbone without its neck. Formats:

    mmpretrain   checkpoint (.pth) for init_cfg, with a config inside; tools/evaluate.py takes it
    mmseg        the same checkpoint, and beside it a config (.py) of a segmentor to inherit
    timm         weights (.safetensors or .pth) for timm.create_model(..., checkpoint_path=...)
    huggingface  folder for ViTModel.from_pretrained or ResNetModel.from_pretrained
    safetensors  weights (.safetensors) under MMPretrain's names
    onnx         graph (.onnx) from images of any size to the dense map

Method, data, length of training, fingerprints and, with --results, the numbers of protocols travel
along. The last lines say how to load what was written. huggingface's folders are read, and onnx
written, by packages of the extra export: pip install "mmcroc[export]".
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from mmcroc.command_line import parser_of, quiet, refusals, require_model

FORMATS = ('mmpretrain', 'mmseg', 'timm', 'huggingface', 'safetensors', 'onnx')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT')
    parser.add_argument('--format', required=True, choices=FORMATS)
    parser.add_argument('--out', required=True, type=Path, metavar='PATH')
    parser.add_argument('--which', choices=['teacher', 'student'],
                        help='of CrOC and other self-distillation (default: teacher)')  # fmt: skip
    parser.add_argument('--with-neck', action='store_true',
                        help='of HSG the whole pixel embedding; --format onnx only')  # fmt: skip
    parser.add_argument('--results', action='append', default=[], type=Path, metavar='JSON',
                        help='results.json of tools/evaluate.py; repeatable')  # fmt: skip
    parser.add_argument('--force', action='store_true', help='replace what is at PATH')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    quiet()
    args = parse_args(argv)
    with refusals():
        require_model(args.checkpoint)
    from mmcroc.export.export import export_backbone

    began = time.perf_counter()
    source = f'{args.checkpoint}:{args.which}' if args.which else args.checkpoint
    with refusals():
        export = export_backbone(
            source, args.format, args.out, args.with_neck, args.results, args.force
        )
    for note in export.notes:
        print(f'Note: {note}')
    print(f'{export.architecture}\n\n{export.usage}\n')
    print(f'Exported to {export.path} ({args.format}, {time.perf_counter() - began:.0f} s)')


if __name__ == '__main__':
    main()
