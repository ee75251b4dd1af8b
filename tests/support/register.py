"""What becomes of every command of the pages: which test runs it, or what it needs.

A command that is not here fails the tests, and so does an entry that no page has.
"""

from typing import NamedTuple

#: Kinds of needs.
NETWORK, DATA, GPU, TIME = 'network', 'data', 'GPU', 'time'


class Needs(NamedTuple):
    """Not run as it stands.

    Attributes:
        what: One of the above.
        cut: The test that runs the same tool on something smaller, if there is one.
    """

    what: str
    cut: str = ''


RUN = 'run as it stands, by test_commands.py'
CI = 'cut short in .ci/run'
WALK = 'tests/documentation/test_walks.py::test_'
TOOL = 'tests/tools/test_'
FIRST_RUN = f'{WALK}first_run_pictures_and_weights'
OWN_IMAGES = f'{WALK}own_images_to_a_clustering_number'
OWN_MASKS = f'{WALK}own_images_and_masks_to_a_table'
TRAIN = f'{TOOL}train.py::test_the_demo_trains_and_says_where_things_are'
FOLDER = f'{TOOL}train.py::test_an_unreadable_image_beyond_the_limit_stops_the_run_by_name'
POST = f'{TOOL}train.py::test_a_folder_and_a_backbone_are_all_that_post_training_needs'
POST_TABLE = f'{TOOL}post_training.py::test_start_control_and_croc_stand_in_one_table'
DIST_TRAIN = f'{TOOL}train.py::test_two_processes_train_on_a_cpu'
EVALUATE = f'{TOOL}evaluate.py::test_one_command_gives_a_table_of_models_and_protocols'
BY_HAND = 'tests/evaluation/test_evaluate_in_configs.py::test_two_protocols_in_a_config_by_hand'
HUMMINGBIRD = 'tests/evaluation/test_evaluation_configs.py::' + (
    'test_it_runs_to_the_end_and_names_its_protocol'
)
RETRIEVAL = f'{TOOL}evaluate.py::test_retrieval_reads_training_images_from_the_same_root'
DIST_TEST = f'{TOOL}test.py::test_two_processes_test_on_a_cpu'
SEGMENT = f'{TOOL}segment.py::test_a_folder_gives_maps_and_sheets_by_command_line'
EXTRACT = f'{TOOL}extract.py::test_a_folder_gives_the_features_of_each_image_by_command_line'
PROBES = (
    'tests/evaluation/test_evaluation_configs.py::test_it_runs_to_the_end_and_names_its_protocol'
)
RETRIEVE = f'{TOOL}retrieve.py::test_a_folder_gives_a_picture_and_a_memory_by_command_line'
REGIONS = (
    f'{TOOL}prepare_oversegmentation.py::test_the_tree_is_mirrored_by_command_line_with_two_workers'
)
CACHE = f'{TOOL}prepare_cache.py::' + (
    'test_copies_are_the_images_shrunken_by_command_line_with_two_workers'
)
SHARDS = 'tests/data/test_tar_shards.py::' + (
    'test_shards_give_the_images_of_the_folder_that_was_packed'
)
ON_DEVICE = 'tests/test_resume.py::test_resuming_is_bit_for_bit'
HSG_CONFIGS = 'tests/test_configs.py::test_an_hsg_config_builds_and_takes_two_steps'
FROZEN = 'tests/hsg/test_frozen_backbone.py::test_segment_takes_the_checkpoint_by_itself'
COVERING = 'tests/evaluation/test_hierarchy_segmentor.py::test_both_tools_run_it'
BENCHMARKS = f'{TOOL}benchmarks.py::'
CROC_COCO = 'work_dirs/croc_vit-s_coco/epoch_300.pth'
DEMO = 'work_dirs/croc_vit-t_scenes/epoch_12.pth'
MINE = 'work_dirs/my_images/epoch_40.pth'

COMMANDS = {
    # Installing
    'pip install -e ".[onedl]"': CI,
    'pip install -e ".[onedl,tests]"': CI,
    'pytest -n 3 --dist worksteal': CI,
    'pytest -m campaign tests/faults': Needs(TIME),
    'MMCROC_CAMPAIGN=400 pytest tests/faults/test_bad_archives.py': Needs(TIME),
    'pip install -e ".[oversegmentation]"': Needs(NETWORK),
    'pip install -e ".[openmmlab]"': Needs(NETWORK),
    'echo "setuptools<82" > build.txt': RUN,
    'PIP_CONSTRAINT=build.txt PIP_BUILD_CONSTRAINT=build.txt pip install -e ".[openmmlab]"': Needs(
        NETWORK
    ),
    'pip install "setuptools<82" wheel ninja': Needs(NETWORK),
    'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps '
    '"mmcv>=2.1,<2.2"': Needs(NETWORK),
    'pip uninstall -y mmengine mmcv mmpretrain mmsegmentation onedl-mmengine onedl-mmcv '
    'onedl-mmpretrain onedl-mmsegmentation': Needs(NETWORK),
    'python -m mmcroc.doctor': RUN,
    'mmcroc --help': CI,
    'mmcroc doctor': CI,
    'mmcroc train configs/croc_vit-t_scenes.py': CI,
    # First run, pictures, weights
    'python tools/train.py configs/croc_vit-t_scenes.py': FIRST_RUN,
    'python tools/train.py configs/croc_vit-t_scenes.py --resume': FIRST_RUN,
    'python tools/train.py configs/hsg_r18_scenes.py': CI,
    'python docs/examples/draw_scenes.py my_data': FIRST_RUN,
    f'python tools/segment.py my_data/labelled/images {DEMO} --out work_dirs/first_look '
    '--num-clusters 6': FIRST_RUN,
    f'python tools/visualize.py my_data/labelled/images {DEMO} --out work_dirs/seen': FIRST_RUN,
    f'python tools/visualize.py my_data/labelled/images {DEMO} --out work_dirs/seen_clusters '
    '--what clusters --heads 0 1 --views scale=0.5,1 flip_prob=0 '
    '--clustering max_clusters=4': FIRST_RUN,
    f'python tools/export.py {DEMO} --format timm '
    '--out work_dirs/exported/croc.safetensors': FIRST_RUN,
    'python tools/model_converters/to_mmpretrain.py croc_vits_coco.pth '
    'checkpoints/croc_vits_coco.pth': Needs(
        DATA, f'{TOOL}model_converters.py::test_croc_becomes_a_whole_model_of_ours'
    ),
    # Own images
    'python tools/train.py docs/examples/my_images.py --data-root my_data/images '
    '--work-dir work_dirs/my_images': OWN_IMAGES,
    f'python tools/segment.py my_data/labelled/images {MINE} --out work_dirs/my_clusters '
    '--num-clusters 8': OWN_IMAGES,
    f'python tools/test.py docs/examples/my_clustering.py {MINE} '
    '--work-dir work_dirs/my_number': OWN_IMAGES,
    'python tools/test.py docs/examples/my_clustering.py random '
    '--work-dir work_dirs/my_number_random': OWN_IMAGES,
    'python tools/test.py docs/examples/my_clustering.py rgb '
    '--work-dir work_dirs/my_number_rgb': OWN_IMAGES,
    'python tools/train.py configs/croc_vit-s_folder.py --data-root /path/to/images '
    '--auto-scale-lr': Needs(GPU, FOLDER),
    'python tools/train.py configs/croc_vit-s14_folder_post-dinov2.py --data-root /path/to/images '
    '--backbone hf:/path/to/dinov2-small': Needs(DATA, POST),
    'python tools/train.py configs/croc_vit-s_folder.py --data-root my_data/images '
    '--auto-scale-lr --cfg-options train_dataloader.batch_size=128': Needs(GPU, FOLDER),
    # Extending
    'PYTHONPATH=docs/examples python tools/train.py '
    'docs/examples/hsg_small_conv_net.py': f'{WALK}own_backbone',
    'PYTHONPATH=docs/examples python tools/train.py docs/examples/croc_video_frames.py '
    '--data-root my_videos': f'{WALK}own_data_set',
    'PYTHONPATH=docs/examples python tools/test.py docs/examples/token_similarity_voc.py '
    'random': f'{WALK}own_metric',
    # COCO, VOC
    'python tools/train.py configs/croc_vit-s_coco.py --auto-scale-lr '
    '--cfg-options train_dataloader.batch_size=128': Needs(GPU, TRAIN),
    'python tools/train.py configs/croc_vit-s_coco.py --resume': Needs(GPU, FIRST_RUN),
    f'python tools/evaluate.py {CROC_COCO} --data voc --protocol clustering-leopart '
    'linear-leopart --baseline random rgb --work-dir work_dirs/voc': Needs(DATA, EVALUATE),
    f'python tools/evaluate.py {CROC_COCO} --data voc --protocol clustering-leopart '
    '--work-dir work_dirs/voc': Needs(DATA, EVALUATE),
    'python tools/evaluate.py timm:vit_small_patch16_224.dino --data voc '
    '--protocol clustering-leopart --work-dir work_dirs/dino': Needs(NETWORK, EVALUATE),
    'python tools/evaluate.py timm:vit_small_patch16_224.dino --data voc '
    '--protocol hummingbird --work-dir work_dirs/dino': Needs(NETWORK, HUMMINGBIRD),
    'python tools/evaluate.py hf:DINOV2 --baseline random:dinov2-small/14 random:deit-small/16 rgb '
    '--data voc-animals --data-root data/VOCdevkit/VOC2012 --train-images 256 --image-size 224 '
    '--protocol clustering-leopart overclustering-leopart hummingbird knn-patch linear-ridge '
    'linear-joint --cfg-options "fractions=[1,8,64]" --work-dir work_dirs/animals': Needs(
        DATA, EVALUATE
    ),
    f'python tools/evaluate.py {CROC_COCO} --data coco-things --protocol linear-leopart '
    '--work-dir work_dirs/coco-things': Needs(DATA, EVALUATE),
    f'python tools/test.py configs/eval/clustering-leopart_voc.py {CROC_COCO}': Needs(
        DATA, DIST_TEST
    ),
    'python tools/dataset_converters/coco_panoptic.py '
    'data/coco/annotations/panoptic_val2017.json --classes things12': Needs(
        DATA, f'{TOOL}dataset_converters.py::test_panoptic_masks_become_supercategories'
    ),
    'python tools/evaluate.py work_dirs/croc_vit-t_scenes/epoch_12.pth --baseline random rgb '
    '--images my_data/labelled/images --masks my_data/labelled/masks '
    '--protocol clustering-leopart linear-ridge overclustering-leopart '
    '--work-dir work_dirs/mine': OWN_MASKS,
    'python tools/evaluate.py timm:vit_small_patch16_224.dino --data voc '
    '--data-root data/VOCdevkit/VOC2012 --protocol all --work-dir work_dirs/dino': Needs(
        NETWORK, EVALUATE
    ),
    'python tools/evaluate.py rgb --data voc --protocol clustering-leopart linear-ridge '
    '--train-images 200 --val-images 100 --image-size 224 --cfg-options num_restarts=2 '
    '--work-dir work_dirs/small': Needs(DATA, EVALUATE),
    'python tools/test.py docs/examples/two_protocols_voc.py '
    'timm:vit_small_patch16_224.dino': Needs(NETWORK, BY_HAND),
    # HSG
    'python tools/prepare_oversegmentation.py /path/to/images /path/to/regions': Needs(
        DATA, REGIONS
    ),
    'python tools/prepare_oversegmentation.py my_data/images my_data/regions': Needs(DATA, REGIONS),
    'python tools/prepare_oversegmentation.py data/coco/train2017 '
    'data/coco/oversegmentation/train2017': Needs(DATA, REGIONS),
    'python tools/prepare_oversegmentation.py data/cityscapes/leftImg8bit/train '
    'data/cityscapes/oversegmentation/train --threshold 0.05 --max-regions 1024': Needs(
        DATA, REGIONS
    ),
    'python tools/train.py configs/hsg_r50_folder.py --data-root /path/to/images --auto-scale-lr '
    '--cfg-options "train_dataloader.dataset.oversegmentation_folders=[/path/to/regions]" '
    'train_dataloader.batch_size=8': Needs(GPU, HSG_CONFIGS),
    'python tools/train.py configs/hsg_r50_folder.py --data-root my_data/images --auto-scale-lr '
    '--cfg-options "train_dataloader.dataset.oversegmentation_folders=[../regions]" '
    'train_dataloader.batch_size=8': Needs(GPU, HSG_CONFIGS),
    'python tools/train.py configs/hsg_vit_frozen_folder.py --data-root my_data/images '
    '--backbone hf:/path/to/dinov2-small': Needs(DATA, FROZEN),
    'python tools/segment.py my_data/images work_dirs/hsg_vit_frozen_folder/iter_80.pth '
    '--out work_dirs/hierarchy': Needs(DATA, FROZEN),
    'python tools/extract.py hf:facebook/dinov2-small /path/to/images --out features': Needs(
        NETWORK, EXTRACT
    ),
    'python tools/extract.py timm:vit_small_patch16_224.dino my_data/images '
    '--out work_dirs/features': Needs(NETWORK, EXTRACT),
    'python tools/evaluate.py timm:vit_small_patch16_224.dino --data voc '
    '--data-root data/VOCdevkit/VOC2012 --protocol knn-patch logreg-patch linear-joint '
    '--work-dir work_dirs/dino_probes': Needs(DATA, PROBES),
    'python tools/segment.py /path/to/images work_dirs/hsg_r50_folder/iter_38000.pth '
    '--out segments': Needs(DATA, SEGMENT),
    'python tools/segment.py my_data/labelled/images work_dirs/hsg_r50_folder/iter_38000.pth '
    '--out work_dirs/segments': Needs(DATA, SEGMENT),
    'python tools/retrieve.py street.jpg --point 240 160 --level fine --memory /path/to/images '
    '--checkpoint work_dirs/hsg_r50_folder/iter_38000.pth --out hits.png': Needs(DATA, RETRIEVE),
    'python tools/retrieve.py my_data/images/0000.jpg --point 80 80 --level fine '
    '--memory my_data/images --checkpoint work_dirs/hsg_r50_folder/iter_38000.pth '
    '--out work_dirs/hits.png': Needs(DATA, RETRIEVE),
    'python tools/evaluate.py work_dirs/hsg_r50_coco_stage2/iter_20000.pth --data voc '
    '--protocol retrieval-hsg --work-dir work_dirs/hsg_voc': Needs(DATA, RETRIEVAL),
    'python tools/evaluate.py work_dirs/hsg_r50_coco_stage2/iter_20000.pth --data bsds '
    '--protocol nfcovering-hsg --baseline random:resnet50 --work-dir work_dirs/hsg_bsds': Needs(
        DATA, COVERING
    ),
    'python tools/evaluate.py work_dirs/hsg_r50_bsds/iter_4000.pth --data bsds '
    '--protocol nfcovering-hsg --work-dir work_dirs/bsds': Needs(DATA, COVERING),
    # Several GPUs
    'bash tools/dist_train.sh configs/croc_vit-s_coco.py 8': Needs(GPU, DIST_TRAIN),
    'bash tools/dist_train.sh configs/hsg_r50_coco_stage1.py 8': Needs(GPU, DIST_TRAIN),
    'bash tools/dist_train.sh configs/hsg_r50_coco_stage2.py 8': Needs(GPU, DIST_TRAIN),
    'bash tools/dist_train.sh configs/croc_vit-s_coco.py 8 --cfg-options '
    'model.sync_statistics=True model.target_generator.cost_scaling=problem': Needs(
        GPU, DIST_TRAIN
    ),
    'NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh '
    'configs/croc_vit-s_coco.py 8': Needs(GPU, DIST_TRAIN),
    'bash tools/slurm_train.sh PARTITION JOB configs/croc_vit-s_coco.py work_dirs/croc': Needs(GPU),
    'GPUS=16 GPUS_PER_NODE=8 CPUS_PER_TASK=8 SRUN_ARGS="--time=2-00:00:00" '
    'bash tools/slurm_train.sh PARTITION JOB configs/croc_vit-s_in1k.py work_dirs/croc_in1k '
    '--resume': Needs(GPU),
    f'bash tools/dist_test.sh configs/eval/clustering-leopart_voc.py {CROC_COCO} 8': Needs(
        GPU, DIST_TEST
    ),
    # Reading images faster
    'python tools/prepare_cache.py my_data/images my_data_320': Needs(DATA, CACHE),
    'python tools/train.py configs/croc_vit-s_folder.py --data-root my_data_320 '
    '--auto-scale-lr': Needs(GPU, FOLDER),
    'python tools/train.py configs/croc_vit-s_folder.py --data-root my_data/images '
    '--auto-scale-lr --cfg-options '
    'train_dataloader.dataset.pipeline.0.colour_on_device=True': Needs(GPU, ON_DEVICE),
    'python tools/train.py configs/croc_vit-s_folder.py --data-root shards --auto-scale-lr '
    '--cfg-options train_dataloader.dataset.type=mmcroc.TarShards': Needs(DATA, SHARDS),
    # Benchmarks measure the machine
    'python tools/benchmarks/pretrain_throughput.py configs/croc_vit-s_coco.py': Needs(TIME),
    'python tools/benchmarks/online_clustering.py': Needs(TIME),
    'python tools/benchmarks/data_pipeline.py': Needs(TIME),
    'python tools/benchmarks/kmeans.py': Needs(TIME),
    'python tools/benchmarks/hsg_step.py': Needs(TIME),
    'python tools/benchmarks/hsg_losses.py --released FOLDER': Needs(TIME),
    'MMCROC_IMAGE_SIZE=224 python tools/benchmarks/post_training.py '
    'data/voc_animals/VOCdevkit/VOC2012 hf:/path/to/dinov2-small --work-dir work_dirs/short '
    '--num-images 1600 --steps 200 --cfg-options model.trained_blocks=6 '
    'train_dataloader.batch_size=8 '
    'train_dataloader.dataset.pipeline.0.size=112 optim_wrapper.optimizer.lr=5e-4 '
    'model.teacher_momentum=0.99 model.teacher_neck_momentum=0.998 '
    'model.freeze_backbone_share=0.05 model.neck.num_prototypes=1024 '
    'model.head.num_prototypes=1024 model.neck.num_cluster_prototypes=512 '
    'model.head.num_cluster_prototypes=512 model.target_generator.num_start_clusters=8 '
    'model.target_generator.max_clusters=8 --probe-options val_evaluator.0.num_restarts=1 '
    'val_evaluator.1.num_restarts=1 val_evaluator.2.train_dataloader.dataset.indices=256 '
    'val_evaluator.3.train_dataloader.dataset.indices=256 '
    'val_evaluator.4.train_dataloader.dataset.indices=256 '
    'val_evaluator.5.train_dataloader.dataset.indices=256': Needs(DATA, POST_TABLE),
    'python tools/benchmarks/post_training.py data/voc_animals/VOCdevkit/VOC2012 '
    'hf:/path/to/dinov2-small --work-dir work_dirs/post-training': Needs(DATA, POST_TABLE),
    'python tools/benchmarks/post_training.py data/voc_animals/VOCdevkit/VOC2012 '
    'hf:/path/to/dinov2-small --work-dir work_dirs/sweep --kinds start croc '
    '--sweep model.trained_blocks=1,6 optim_wrapper.optimizer.lr=3e-5,3e-4 '
    'model.target_generator.num_start_clusters+model.target_generator.max_clusters=6,20': Needs(
        DATA, POST_TABLE
    ),
    'python tools/benchmarks/dense_search.py': Needs(TIME),
    'python tools/benchmarks/start_up.py': Needs(TIME),
    'python tools/benchmarks/inference.py': Needs(TIME),
    'python tools/benchmarks/communication.py': Needs(
        TIME, f'{BENCHMARKS}test_a_step_on_two_ranks_communicates_what_the_formulas_say'
    ),
    'python tools/benchmarks/scaling.py': Needs(
        TIME, f'{BENCHMARKS}test_the_tables_of_the_page_are_those_of_the_command'
    ),
    'bash tools/benchmarks/gpu.sh': Needs(TIME),
    'python tools/benchmarks/training_step.py configs/croc_vit-s_coco.py --compiled 128 256': Needs(
        TIME
    ),
    'python tools/benchmarks/training_step.py configs/hsg_r50_coco_stage2.py '
    '--batch-sizes 6 16 --size 448': Needs(TIME),
}
