# HSG, ResNet-50, on any folder of images: nested, unlabelled, no list needed. One run of all losses
# from scratch, with Cityscapes' settings; 8 GPUs x 4 images (other batches: --auto-scale-lr).
# Region maps: python tools/prepare_oversegmentation.py data/images data/oversegmentation
# What to expect depends on the images.
_base_ = 'hsg_r50_cityscapes.py'

train_dataloader = dict(
    dataset=dict(
        data_root='data/images', folders=None, oversegmentation_folders=['../oversegmentation']
    )
)
