"""Segmentation data sets whose files hold other label ids than the classes scored."""

import numpy as np
from mmseg.datasets import BaseSegDataset

IGNORE = 255


def label_table(classes):
    """The class of every 8-bit label: (256,) uint8, ``IGNORE`` where not named.

    Args:
        classes (dict[int, int] | Sequence[int]): Class by label.
    """
    table = np.full(256, IGNORE, dtype=np.uint8)
    items = classes.items() if isinstance(classes, dict) else enumerate(classes)
    for label, index in items:
        table[label] = index
    return table


class LabelTableDataset(BaseSegDataset):
    """A data set that maps the labels of its files to classes by a table.

    It does so through MMSegmentation's ``label_map``, so that any ``LoadAnnotations`` reads the
    right classes. That of MMSegmentation goes through the image once for every label;
    ``mmcroc.LoadMappedAnnotations`` does it in one pass. ``metainfo=dict(classes=...)`` selects
    classes as everywhere in MMSegmentation.

    Subclasses give ``METAINFO`` and ``LABEL_TABLES``, the tables of the kinds of files they read.

    Args:
        label_ids (str): What the files hold, a key of ``LABEL_TABLES``. Default: its first.
        **kwargs: As ``BaseSegDataset``.

    Raises:
        ValueError: ``label_ids`` is unknown.
    """

    LABEL_TABLES = {}

    def __init__(self, label_ids=None, **kwargs):
        label_ids = label_ids or next(iter(self.LABEL_TABLES))
        if label_ids not in self.LABEL_TABLES:
            raise ValueError(
                f'{type(self).__name__}: label_ids must be one of {list(self.LABEL_TABLES)}, '
                f'got {label_ids!r}'
            )
        self.label_table = self.LABEL_TABLES[label_ids]
        super().__init__(**kwargs)

    def get_label_map(self, new_classes=None):
        """Class by label, for all labels that the table changes."""
        selected = super().get_label_map(new_classes)
        if selected is not None:
            self.label_table = label_table({**selected, IGNORE: IGNORE})[self.label_table]
        return {
            label: index for label, index in enumerate(self.label_table.tolist()) if label != index
        }

    def _update_palette(self):
        # MMSegmentation's looks colours up by the keys of label_map, which are classes there.
        classes, palette = self.METAINFO['classes'], self.METAINFO.get('palette')
        if palette is not None and self._metainfo.get('palette') == palette:
            colours = dict(zip(classes, palette, strict=True))
            return [colours[name] for name in self._metainfo['classes']]
        return super()._update_palette()

    def load_data_list(self):
        """As ``BaseSegDataset``, with the map left out: each sample would store a copy of it."""
        data_list = super().load_data_list()
        for data_info in data_list:
            data_info['label_map'] = None
        return data_list

    def get_data_info(self, idx):
        """One sample's paths, and the label map."""
        data_info = super().get_data_info(idx)
        data_info['label_map'] = self.label_map
        return data_info
