"""Default hooks that a config turns off."""

from mmengine.config import Config

#: Those that MMEngine's Runner registers by itself, so that only it can leave them out.
MMENGINE_HOOKS = frozenset(
    ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
)


def leave_out_unset_hooks(cfg: Config):
    """Let ``default_hooks.NAME=None`` turn off any hook that a config inherits.

    MMEngine's Runner lets None turn off its own hooks alone; any other None is a bare
    AssertionError.

    Args:
        cfg: The run's config, changed in place.
    """
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None]:
        if name not in MMENGINE_HOOKS:
            del hooks[name]
