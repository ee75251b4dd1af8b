# Protocol davis: video propagation on DAVIS 2017, as DINO's script does it. The first frame's
# masks are carried to the frames after it by the similarity of tokens at short side 480: the first
# and the 7 preceding frames give labels, 12 tokens around, top 5, temperature .1. J&F in percent,
# mean over the objects of all sequences (davis2017-evaluation, semi-supervised).
function = 'mmcroc.evaluation.davis.evaluate_davis_by'
settings = dict(
    preset='davis',
    short_side=480,
    multiple=64,
    round_up=False,
    frame_resize='opencv',
    std=(0.228, 0.224, 0.225),
    void_to_background=True,
    mask_resize='pillow',
    num_previous=7,
    radius=12,
    window='square',
    topk=5,
    temperature=0.1,
    upsampling='bilinear',
    constant_to_zero=False,
)
