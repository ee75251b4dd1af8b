# CrOC on a data set of one's own, with the small model of the demo.
_base_ = 'mmcroc::croc_vit-t_scenes.py'

custom_imports = dict(imports=['video_frames'], allow_failed_imports=False)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='VideoFrames',
        data_root='videos',
        pipeline={{_base_.train_pipeline}},
    )
)
