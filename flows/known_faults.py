"""The errors whose message says everything. Any other is a defect, whose traceback is needed."""

from __future__ import annotations

from configs.faults import ConfigFault
from environments.base import EnvironmentFault
from flows.faults import StageFault
from formats.faults import FormatFault
from models.judges.judge import JudgementFault
from models.policy import PolicyFault
from models.reflectors.reflector import ReflectionFault
from storage.faults import StorageFault
from tasks.ray.faults import RunnerFault

FAULTS = (
    ConfigFault,
    EnvironmentFault,
    FormatFault,
    JudgementFault,
    PolicyFault,
    ReflectionFault,
    RunnerFault,
    StorageFault,
    StageFault,
)
