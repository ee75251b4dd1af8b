"""Time and memory of ClusteringIoU on a validation set the size of VOC's.

Random tokens, 1,449 images x 784 tokens x 384 channels by default, 21 classes.

    python tools/benchmarks/clustering_iou.py --seeds 1 --restarts 1
"""

import argparse
import resource
import time

import torch

import mmcroc  # noqa: F401
from mmcroc.evaluation.clustering_iou import ClusteringIoU


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=1449)
    parser.add_argument('--side', type=int, default=28, help='tokens a side')
    parser.add_argument('--channels', type=int, default=384)
    parser.add_argument('--classes', type=int, default=21)
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--restarts', type=int, default=5)
    parser.add_argument('--iterations', type=int, default=100)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args()


def samples(args):
    """Tokens that tell the classes apart to some degree, under masks of the image's size."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(args.classes, args.channels, generator=generator) / 4
    for _ in range(args.images):
        grid = torch.randint(args.classes, (7, 7), generator=generator)
        grid = grid.repeat_interleave(args.side // 7, 0).repeat_interleave(args.side // 7, 1)
        noise = torch.randn(*grid.shape, args.channels, generator=generator)
        mask = grid.repeat_interleave(16, 0).repeat_interleave(16, 1)
        tokens = (centres[grid] + noise).permute(2, 0, 1).to(args.device)
        yield dict(tokens=dict(data=tokens), gt_sem_seg=dict(data=mask[None]))


def main():
    args = parse_args()
    metric = ClusteringIoU(
        num_restarts=args.restarts,
        num_iterations=args.iterations,
        seeds=range(args.seeds),
        classes=[str(i) for i in range(args.classes)],
    )
    began = time.perf_counter()
    for sample in samples(args):
        metric.process(None, [sample])
    processed = time.perf_counter()
    metrics = metric.evaluate(args.images)
    evaluated = time.perf_counter()
    print({name: round(value, 2) for name, value in metrics.items()})
    print(
        f'making and taking the tokens {processed - began:.1f} s, evaluation '
        f'{evaluated - processed:.1f} s on {args.device}, {torch.get_num_threads()} threads'
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'peak memory of the process {peak:.2f} GiB')
    if args.device == 'cuda':
        print(f'peak memory of the GPU {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB')


if __name__ == '__main__':
    main()
