from .executors import Executor as Executor
from .executors import InProcess as InProcess
from .executors import Processes as Processes
from .families import ladder_plan as ladder_plan
from .manifest import Manifest as Manifest
from .manifest import Shard as Shard
from .opening import open_sweep as open_sweep
from .plan import ModelSource as ModelSource
from .plan import Plan as Plan
from .planning import plan_sweep as plan_sweep
from .quantities import model_quantities as model_quantities
from .ray_actors import RayActors as RayActors
from .running import run_sweep as run_sweep
from .slurm import Submitit as Submitit
from .status import Status as Status
from .status import sweep_status as sweep_status
from .studies import sweep_studies as sweep_studies

__all__ = [
    "Executor",
    "InProcess",
    "Manifest",
    "ModelSource",
    "Plan",
    "Processes",
    "RayActors",
    "Shard",
    "Status",
    "Submitit",
    "ladder_plan",
    "model_quantities",
    "open_sweep",
    "plan_sweep",
    "run_sweep",
    "sweep_status",
    "sweep_studies",
]
