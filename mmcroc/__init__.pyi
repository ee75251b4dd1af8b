from . import (
    croc as croc,
)
from . import (
    data as data,
)
from . import (
    evaluation as evaluation,
)
from . import (
    export as export,
)
from . import (
    features as features,
)
from . import (
    hsg as hsg,
)
from . import (
    inference as inference,
)
from . import (
    numerics as numerics,
)
from . import (
    pictures as pictures,
)
from . import (
    training as training,
)
from . import (
    weights as weights,
)
from .config_files import config_path as config_path
from .config_files import read_config as read_config
from .evaluation.matrix import evaluate as evaluate
from .inference.extraction import dense_features as dense_features
from .version import __version__ as __version__
