from .algorithm import CrOC as CrOC
from .head import CrOCHead as CrOCHead
from .neck import CrOCNeck as CrOCNeck
from .optim_wrapper import SelfDistillOptimWrapper as SelfDistillOptimWrapper
from .schedules import WarmupCosineLR as WarmupCosineLR
from .schedules import WarmupCosineWeightDecay as WarmupCosineWeightDecay
from .target_generator import OnlineClustering as OnlineClustering
from .views import TwoViews as TwoViews
