"""Post-training beside its start and its control, seed by seed, on a folder of VOC's format.

    python tools/benchmarks/post_training.py data/VOCdevkit/VOC2012 MODEL --work-dir OUT
    python tools/benchmarks/post_training.py ... --sweep model.trained_blocks=1,3,6 \\
        optim_wrapper.optimizer.lr=5e-5,2e-4

Trains without labels on the images of trainaug.txt, one run after another in one process, and
scores the teacher by the metrics of --probes on those of val.txt. --sweep is for choosing settings:
each value is a run of its own, and the images of train.txt, kept out of training, take the place of
the validation images, which are not looked at. OUT/results.json is written after each run, the
table at the end is in OUT/table.txt too.
"""

import json
import os
import resource
import time
from pathlib import Path
from statistics import mean, stdev

import measure
import torch
from mmengine.config import Config, DictAction
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from prettytable import PrettyTable

from mmcroc.command_line import parser_of
from mmcroc.config_files import read_config
from mmcroc.evaluation.fitted_iou import fit_together
from mmcroc.numerics.token_spread import effective_rank
from mmcroc.registry import METRICS
from mmcroc.training.launch import start
from mmcroc.training.starting_weights import start_from

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
KINDS = dict(
    start='croc_vit-s14_folder_post-dinov2.py',
    control='dino_vit-s14_folder_post-dinov2.py',
    croc='croc_vit-s14_folder_post-dinov2.py',
)
LISTS = Path('ImageSets', 'Segmentation')
CORES = len(os.sched_getaffinity(0))


def parse_args():
    parser = parser_of(__doc__)
    parser.add_argument('data', type=Path, help='folder with JPEGImages and ImageSets')
    parser.add_argument('model', metavar='MODEL', help='start, such as hf:FOLDER')
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--kinds', nargs='+', default=list(KINDS), choices=KINDS)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--steps', type=int, help="length of training, rounded up to epochs; default: the config's"
    )
    parser.add_argument('--probes', default=CONFIGS / '_base_' / 'probes' / 'voc-animals-table.py')
    parser.add_argument('--sweep', nargs='+', default=[], metavar='KEY[+KEY]=V1,V2',
                        help='settings to choose, one changed at a time')  # fmt: skip
    parser.add_argument('--num-images', type=int, help='train on so many, for a trial')
    parser.add_argument('--device-minutes', type=float, help='begin no run that would end later')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='settings of the training, in the form key.subkey=value')  # fmt: skip
    parser.add_argument('--probe-options', nargs='+', action=DictAction, default={},
                        help='settings of the probes')  # fmt: skip
    return measure.add_json(parser).parse_args()


class Probes:
    """The metrics of a config of probes; loaders and their workers stay for all runs."""

    def __init__(self, args, train_list, val_list):
        cfg = read_config(args.probes, args.probe_options)
        init_default_scope('mmpretrain')
        loaders = [
            metric.train_dataloader for metric in cfg.val_evaluator if 'train_dataloader' in metric
        ]
        for loader, names in ((cfg.val_dataloader, val_list), *((x, train_list) for x in loaders)):
            loader.dataset.update(data_root=str(args.data), ann_file=str(names))
            loader.update(num_workers=min(loader.num_workers, CORES - 1))
            loader.persistent_workers = loader.num_workers > 0
        self.loader = Runner.build_dataloader(cfg.val_dataloader, seed=0)
        self.evaluator = Evaluator([METRICS.build(metric) for metric in cfg.val_evaluator])
        self.evaluator.dataset_meta = self.loader.dataset.metainfo

    @torch.no_grad()
    def __call__(self, model):
        """All scores of a model, percent, and the effective rank of its tokens."""
        model.eval()
        fit_together(self.evaluator.metrics, model)
        tokens = []
        for batch in self.loader:
            samples = model.val_step(batch)
            self.evaluator.process(data_samples=samples, data_batch=batch)
            tokens += [sample.tokens.data.flatten(1).T for sample in samples[:8]]
        scores = self.evaluator.evaluate(len(self.loader.dataset))
        return dict(scores, effective_rank=float(effective_rank(torch.cat(tokens))))


def config_of(args, kind, seed, train_list, changed):
    """The config of a run."""
    cfg = read_config(CONFIGS / KINDS[kind])
    cfg.train_dataloader.num_workers = min(14, CORES - 1)
    data = dict(data_root=str(args.data), folders=['JPEGImages'], ann_file=str(train_list))
    if args.num_images:
        data['indices'] = args.num_images
    cfg.train_dataloader.dataset.update(data)
    start_from(cfg, args.model)
    for hook in ('checkpoint', 'token_pictures', 'view_measures', 'before_after'):
        cfg.default_hooks[hook] = None
    cfg.update(randomness=dict(seed=seed), log_level='WARNING')
    options = {**args.cfg_options, **changed}
    if kind == 'control':  # it has no clusters, whatever the options say of them
        options = {
            key: value
            for key, value in options.items()
            if 'cluster' not in key and 'target_generator' not in key
        }
    cfg.merge_from_dict(options)
    loader = cfg.train_dataloader
    loader.persistent_workers = loader.num_workers > 0
    if args.steps:
        number = args.num_images or len(train_list.read_text().split())
        cfg.train_cfg.max_epochs = -(-args.steps // (number // loader.batch_size))
    label = '_'.join([kind, str(seed), *(f'{key}={value}' for key, value in changed.items())])
    cfg.experiment_name = label.replace('/', '-')
    cfg.work_dir = str(args.work_dir / cfg.experiment_name)
    return cfg


def run(cfg: Config, probes: Probes, trains: bool) -> dict:
    """Train, unless it is the start that is wanted, and score."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began, logged, steps = time.perf_counter(), {}, 0
    with start(cfg) as runner:
        if trains:
            runner.train()
            steps = runner.iter
            for name, buffer in runner.message_hub.log_scalars.items():
                values, some = buffer.data[0], max(1, steps // 20)
                logged[name] = [float(values[:some].mean()), float(values[-some:].mean())]
        else:
            runner.model.init_weights()
        trained = time.perf_counter()
        model = runner.model
    if torch.cuda.is_available():
        gib = torch.cuda.max_memory_allocated() / 2**30
    else:  # of the process, so far
        gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    scores = probes(model)
    return dict(
        steps=steps, scores=scores, logged=logged, train_seconds=trained - began, peak_gib=gib,
        score_seconds=time.perf_counter() - trained,
    )  # fmt: skip


def variations(sweep):
    """The settings of each run of a sweep: none changed, then one at a time."""
    yield {}
    for setting in sweep:
        keys, _, values = setting.partition('=')
        for value in values.split(','):
            yield {key: DictAction._parse_int_float_bool(value) for key in keys.split('+')}


def grouped(results):
    """The runs of each kind and settings, all seeds."""
    groups = {}
    for result in results:
        groups.setdefault((result['kind'], json.dumps(result['options'])), []).append(result)
    return groups


def table_of(results):
    """Mean ± spread over seeds of every score."""
    groups = grouped(results)
    names = [name for name in results[0]['scores'] if not name.endswith(('_std', 'aAcc'))]
    table = PrettyTable(['run', 'seeds', 'steps', *names, 'train s', 'score s', 'peak GiB'])
    for (kind, options), runs in groups.items():
        cells = []
        for name in names:
            values = [one['scores'][name] for one in runs]
            spread = f' ± {stdev(values):.2f}' if len(values) > 1 else ''
            cells.append(f'{mean(values):.2f}{spread}')
        times = [
            f'{mean(one[name] for one in runs):.0f}' for name in ('train_seconds', 'score_seconds')
        ]
        peak = max(one['peak_gib'] for one in runs)
        label = kind if options == '{}' else f'{kind} {options}'
        table.add_row([label, len(runs), runs[0]['steps'], *cells, *times, f'{peak:.1f}'])
    return table.get_string()


def main():
    args = parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    args.data = args.data.resolve()
    lists = args.data / LISTS
    train_list, val_list = lists / 'trainaug.txt', lists / 'val.txt'
    if args.sweep:
        val_list = lists / 'train.txt'
        held_out = set(val_list.read_text().split())
        names = [name for name in train_list.read_text().split() if name not in held_out]
        train_list = args.work_dir.resolve() / 'train_without_held_out.txt'
        train_list.write_text('\n'.join(names))
    plan = [
        (kind, seed, options)
        for options in variations(args.sweep)
        for seed in (args.seeds[:1] if args.sweep else args.seeds)
        for kind in args.kinds
        if kind != 'start' or (seed == args.seeds[0] and not options)
    ]
    began, longest, results, left_out = time.monotonic(), 0.0, [], []
    probes = Probes(args, train_list, val_list)
    for kind, seed, options in plan:
        if args.device_minutes and time.monotonic() - began + longest > 60 * args.device_minutes:
            left_out.append((kind, seed, options))
            continue
        this = time.monotonic()
        cfg = config_of(args, kind, seed, train_list, options)
        result = dict(kind=kind, seed=seed, options=options)
        results.append(dict(result, **run(cfg, probes, kind != 'start')))
        if kind != 'start':
            longest = max(longest, time.monotonic() - this)
        whole = dict(model=args.model, settings=args.cfg_options, results=results)
        (args.work_dir / 'results.json').write_text(json.dumps(whole, indent=1, default=str))
        print(f'{kind} {seed} {options}: {results[-1]["scores"]}', flush=True)
    table = table_of(results)
    (args.work_dir / 'table.txt').write_text(f'{table}\n')
    print(table)
    figures = {
        f'{kind} {options}': {
            name: float(mean(one['scores'][name] for one in runs)) for name in runs[0]['scores']
        }
        for (kind, options), runs in grouped(results).items()
    }
    measure.record(args.json, figures)
    if left_out:
        print(f'No time for {len(left_out)} runs: {left_out}')


if __name__ == '__main__':
    main()
