"""Tables that say which protocol they belong to."""

import math

import torch
from prettytable import PrettyTable


def mean_and_spread(values):
    """'mean ± standard deviation (n - 1)' of percentages; the mean alone if there is one value."""
    values = torch.tensor(values, dtype=torch.float64)
    mean = float(values.mean())
    if math.isnan(mean):
        return 'absent'
    if len(values) == 1:
        return f'{mean:.2f}'
    return f'{mean:.2f} ± {float(values.std()):.2f}'


def iou_table(report):
    """A table of per-class IoU in percent, mean and spread over seeds, from a metric's report."""
    table = PrettyTable(['class', f'IoU, {report["protocol"]}'])
    table.align = 'r'
    table.align['class'] = 'l'
    for name, *values in zip(report['classes'], *report['iou_per_seed'], strict=True):
        table.add_row([name, mean_and_spread(values)])
    table.add_divider()
    table.add_row(['mIoU', mean_and_spread(report['mIoU_per_seed'])])
    return table.get_string()
