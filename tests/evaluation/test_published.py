"""Published figures stand beside exactly their protocol, and the page shows the file."""

from mmcroc.evaluation.data_sets import data_names
from mmcroc.evaluation.protocols import protocol_names
from mmcroc.evaluation.published import published, published_figures, published_tables
from mmcroc.evaluation.report import Report
from tests.support.paths import ROOT

DINO = 'timm:vit_small_patch16_224.dino'


def result(metric='mIoU', value=50.0, **other):
    return dict(
        dict(model=DINO, protocol='hummingbird', data='voc', metrics={metric: value},
             mIoU_per_seed=[value], changes={}), **other,
    )  # fmt: skip


def test_figures_are_of_the_papers():
    found = {one[:4]: one.value for one in published_figures()}
    assert found['DINO ViT-S/16', 'hummingbird', 'voc', 'mIoU_1_8'] == 41.3
    assert found['CrOC ViT-S/16, ImageNet-1k', 'hummingbird', 'ade20k151', 'mIoU'] == 17.3
    assert found['HSG ResNet-50', 'retrieval-hsg', 'kitti-step', 'aAcc'] == 73.8
    assert found['DINO ViT-B/8', 'davis', 'davis', 'F'] == 74.9
    assert found['CrOC ViT-S/16, COCO+', 'linear-leopart', 'coco-things', 'mIoU'] == 64.4
    assert all(0 < value < 100 for value in found.values())


def test_a_figure_stands_beside_exactly_its_protocol_data_and_model():
    assert published(DINO, 'hummingbird', 'voc').value == 48.7
    assert published(DINO, 'hummingbird', 'voc', 'mIoU_1_128').value == 26.4
    assert published(DINO, 'davis', 'davis', 'J&F').value == 61.8
    assert published(DINO, 'clustering-leopart', 'voc') is None
    assert published('work/dino.pth', 'hummingbird', 'voc') is None
    assert published('hf:facebook/dinov2-with-registers-small', 'hummingbird', 'voc') is None


def test_the_table_has_a_column_for_it_and_the_difference_where_nothing_was_changed():
    table = Report('voc', [result()]).table()
    assert 'hummingbird, published' in table and '48.7 (+1.30)' in table
    assert 'DINO ViT-S/16, hummingbird: ' in table  # the source
    table = Report(
        'voc', [result(metrics=dict(mIoU=50.0, mIoU_1_8=40.0, mIoU_1_8_std=0.5))]
    ).table()
    assert 'hummingbird 1/8 ' in table and '40.00 ± 0.50' in table and '41.3 (-1.30)' in table
    for other in (dict(changes=dict(k=5), protocol='hummingbird*'), dict(data='voc-animals')):
        assert 'published' not in Report('voc', [result(**other)]).table()
    videos = result('J&F', 62.0, protocol='davis', data='davis')
    del videos['mIoU_per_seed']
    assert '62.00 (published 61.8)' in Report('davis', [videos]).table()


def test_the_page_shows_the_file():
    """When this fails, put what ``python -m mmcroc.evaluation.published`` prints into the page."""
    page = (ROOT / 'docs' / 'published.md').read_text(encoding='utf-8')
    assert page.endswith(published_tables())


def test_our_own_names_are_of_our_own_protocols():
    """A figure under another protocol bears no name of ours; those to come are listed."""
    ours = {*protocol_names(), 'hummingbird', 'davis'}
    for figure in published_figures():
        assert figure.protocol in ours or ', ' in figure.protocol
        assert figure.data in {*data_names(), 'ade20k151', 'pascal-context', 'davis'}
