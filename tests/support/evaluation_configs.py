"""Evaluation configs made small: few images of few pixels, one epoch, one seed."""

from mmcroc.evaluation.protocols import data_set, protocol


def read_evaluation(name, data, image_size=None):
    """The config of a protocol and a data set; of another image size where one is given."""
    return protocol(name).read(data_set(data), image_size)


def mini_config(protocol, data, root, work_dir, image_size=64):
    """The same, to run on a CPU in a second on the data set in ``root``, with the model 'rgb'."""
    cfg = read_evaluation(protocol, data, image_size)
    loaders = [cfg.get(f'{name}_dataloader') for name in ('train', 'val', 'test')]
    for loader in filter(None, [*loaders, cfg.test_evaluator.get('train_dataloader')]):
        batch_size = min(2, loader.batch_size)
        loader.update(batch_size=batch_size, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(root)
        loader.dataset.pop('fraction', None)
    if protocol == 'nfcovering-hsg':
        cfg.model.update(model='rgb', longer_side=64)
    else:
        cfg.model.backbone.model = 'rgb'
    if 'decode_head' in cfg.model:
        length = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
        cfg.train_cfg.update({length: 1}, val_interval=1)
    elif protocol == 'retrieval-hsg':
        cfg.test_evaluator.update(stride=32)
    elif protocol == 'hummingbird':
        cfg.test_evaluator.update(fractions=[1], low_shot=None)
    elif protocol == 'linear-cached':
        cfg.test_evaluator.update(batch_size=2, num_epochs=2, seeds=[0])
    elif protocol in ('knn-patch', 'logreg-patch', 'linear-joint'):
        few = {'knn-patch': dict(num_neighbours=[1, 3]), 'logreg-patch': dict(strengths=[0.1, 1])}
        cfg.test_evaluator.update(held_out=0.5, **few.get(protocol, dict(num_epochs=1)))
    elif 'num_restarts' in cfg.test_evaluator:
        cfg.test_evaluator.update(num_restarts=1, seeds=[0])
    cfg.update(work_dir=str(work_dir), log_level='WARNING', experiment_name=f'{protocol}_{data}')
    return cfg
