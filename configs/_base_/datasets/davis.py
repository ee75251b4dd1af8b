# DAVIS 2017: the 30 validation sequences, 61 objects.
videos = dict(data_root='data/DAVIS', split='val')
