"""Settings of the Ray cluster whose actors run batches."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from configs.section import Positive, Section


class RayConfig(Section):
    """The cluster and the actors of execution.runner: ray. Needs the extra `ray`."""

    model_config = ConfigDict(title="Ray")
    address: Annotated[str, Field(pattern=r"^(local|[^\s:/@]+:[0-9]{1,5})$")] = Field(
        "local",
        description="HOST:PORT of the cluster's head, as `ray start --head` prints it. local: Ray is started on this "
        "machine, and ended with the run.",
    )
    actors: Positive = Field(
        4, description="Most actors at once. Each runs one batch at a time, in a process of its own."
    )
    cpus: Annotated[float, Field(ge=0)] = Field(1.0, description="CPUs that each actor takes.")
    gpus: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="GPUs that each actor takes for an engine of its own. 0 with engine openai: all actors share the "
        "servers in execution.server.",
    )
