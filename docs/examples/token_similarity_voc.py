# A metric of one's own in place of a protocol's, on Pascal VOC's validation images.
_base_ = 'mmcroc::eval/clustering-leopart_voc.py'

custom_imports = dict(imports=['token_similarity'], allow_failed_imports=False)
val_evaluator = dict(_delete_=True, type='TokenSimilarity')
test_evaluator = val_evaluator
