# HSG, ResNet-50, on any folder of images: nested, unlabelled, no list needed. One run of all losses
# from scratch, with Cityscapes' settings; 8 GPUs x 4 images (other batches: --auto-scale-lr).
# Region maps: python tools/prepare_oversegmentation.py data/images data/oversegmentation
# What to expect depends on the images.
_base_ = 'hsg_r50_cityscapes.py'

# Not as released: the coarse level parts from the first iterations on, at a cost to the embedding
# (docs/hsg.md, "The plateau"). The released values: 1, 1.0, False.
model = dict(head=dict(balance_weight=0.2, transformer=dict(sharpness=4.0, centred_logits=True)))

train_dataloader = dict(
    dataset=dict(
        data_root='data/images', folders=None, oversegmentation_folders=['../oversegmentation']
    )
)
