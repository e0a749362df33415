"""Episodes over a study for agents of the Gymnasium world, and the algorithms of Stable-Baselines3.

The only package that imports gymnasium and stable_baselines3. Importing it registers ``sizewise/OneShot-v0``,
``sizewise/NodeByNode-v0`` and ``sizewise/Refinement-v0``, which are made by ``gymnasium.make(id, study=study)``.
"""

from __future__ import annotations

import gymnasium

from automl_core.environment.episode import StudyEnv
from automl_core.environment.node_by_node import NodeByNode
from automl_core.environment.one_shot import OneShot
from automl_core.environment.refinement import Refinement
from automl_core.environment.vector import StudyVecEnv, UntilSpent

__all__ = ["NodeByNode", "OneShot", "Refinement", "StudyEnv", "StudyVecEnv", "UntilSpent"]

for _kind in (OneShot, NodeByNode, Refinement):  # registration by import is what `gymnasium.register_envs` relies on
    if (_id := f"sizewise/{_kind.__name__}-v0") not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"{__name__}:{_kind.__name__}")
