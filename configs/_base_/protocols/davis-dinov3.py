# Protocol davis-dinov3: davis as DINOv3's notebook does it. Short side 960, a round window,
# temperature .2, masks upsampled by their nearest token.
_base_ = 'davis.py'

settings = dict(
    preset='davis-dinov3',
    short_side=960,
    multiple=1,
    round_up=True,
    frame_resize='bicubic',
    std=(0.229, 0.224, 0.225),
    mask_resize='nearest-exact',
    window='round',
    temperature=0.2,
    upsampling='nearest',
    constant_to_zero=True,
)
