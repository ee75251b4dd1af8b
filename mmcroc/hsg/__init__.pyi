from .algorithm import HSG as HSG
from .grouping import ClusteringTransformer as ClusteringTransformer
from .grouping import Grouping as Grouping
from .head import HSGHead as HSGHead
from .neck import HSGNeck as HSGNeck
from .neck import LearnedPosition2d as LearnedPosition2d
from .views import RegionViewDataPreprocessor as RegionViewDataPreprocessor
from .views import TwoViewsWithRegions as TwoViewsWithRegions
