"""A Trainer for any objective, exact over micro-batches and processes, that stops at non-finite numbers."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from models.policy import PolicyFault
from models.training.loop.divergence import divergence_message, first_nonfinite_weight, shortened
from models.training.loop.hf_trainer import HookedTrainer, MicroBatch
from models.training.loop.ordering import FILLER, TrainingOrder
from models.training.loop.states import seal_and_prune
from models.training.objectives.objective import Objective


class ObjectiveTrainer(HookedTrainer):
    """Minimises the mean of the objective's loss over the items of one optimizer step, across its micro-batches and all
    processes. The model must return losses (`models.training.objectives.losses.return_losses`).

    Raises PolicyFault, in all processes at the same step, before a non-finite loss or gradient changes a weight and
    before non-finite weights are saved."""

    objective: Objective

    def __init__(self, objective: Objective, **given: Any) -> None:
        super().__init__(train_dataset=objective, data_collator=objective.collate, **given)
        self.objective = objective

    def begin_step(self, micro_batches: list[MicroBatch], device: torch.device) -> int:
        self._indices = torch.cat([batch.pop("indices") for batch in micro_batches]).cpu()
        self._losses: list[torch.Tensor] = []
        self._metrics: dict[str, torch.Tensor] = {}
        own = torch.stack([batch.pop("items") for batch in micro_batches]).sum().to(device)
        self._step_size = int(self.accelerator.reduce(own, "sum"))
        return self._step_size

    def micro_batch_loss(self, model: torch.nn.Module, inputs: MicroBatch, step_size: int) -> torch.Tensor:
        """This micro-batch's share of L: its losses over the number of items of the whole step, times the number of
        processes, because DDP and FSDP average the processes' gradients."""
        losses = model(**_model_inputs(inputs))
        self._losses.append(losses.detach())
        loss = self.objective.loss(losses, inputs)
        for name, value in loss.metrics.items():
            self._metrics[name] = self._metrics.get(name, 0) + value.detach()
        return loss.total * self.args.world_size / step_size

    def step_metrics(self) -> dict[str, float]:
        return self._means

    def check_final_loss(self) -> None:
        """Check the trained model after the last step, since no further step does. Raises PolicyFault if the loss of
        an item is not finite."""
        name, batch = self.objective.shortest()
        with torch.no_grad():
            losses = self.wrapped_loss(_model_inputs(batch))
        if self._in_any_process(not bool(losses.isfinite().all())):
            raise self._fault(
                f"after the last training step ({self.state.global_step}), the loss of {name} is not a finite number"
            )

    def check_step(self, gradient_norm: float) -> None:
        nonfinite = ~torch.cat(self._losses).isfinite().cpu()
        if self._in_any_process(bool(nonfinite.any()) or not math.isfinite(gradient_norm)):
            raise self._fault(self._nonfinite_step(self._indices[nonfinite], gradient_norm))
        sums = {name: self.accelerator.reduce(value, "sum") for name, value in self._metrics.items()}
        self._means = {name: float(value) / self._step_size for name, value in sums.items()}

    def _nonfinite_step(self, indices: torch.Tensor, norm: float) -> str:
        """What is not finite in this step: the items whose losses are not, over all processes; all items of the step
        if only the gradient is not."""
        names = self.objective.names
        marks = torch.zeros(len(names), dtype=torch.long)
        marks[indices] = 1
        found = self.accelerator.reduce(marks.to(self.args.device), "sum").nonzero()[:, 0].tolist()
        step, order = self.state.global_step, self.training_order()
        size = len(order) // self.args.max_steps
        batch = [i for i in islice(order, step * size, (step + 1) * size) if i != FILLER]
        what = "loss" if found else f"gradient's norm ({norm})"
        shown = shortened([names[i] for i in found or batch])
        return (
            f"training step {step + 1} of {self.args.max_steps}: the {what} of {shown} is not a finite number"
        )

    def _in_any_process(self, condition: bool) -> bool:
        """Whether the condition holds in any process; the same answer in all of them."""
        flag = torch.tensor(int(condition), device=self.args.device)
        return bool(self.accelerator.reduce(flag, "sum"))

    def _fault(self, what: str) -> PolicyFault:
        states = None if self.args.save_strategy == "no" else Path(str(self.args.output_dir))
        has_changed = self.state.global_step > 0
        return PolicyFault(divergence_message(what, self.current_learning_rate(), has_changed, states))

    def training_order(self) -> TrainingOrder:
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return TrainingOrder(self.objective.lengths, batch, self.args.max_steps, self.args.seed)

    def check_weights(self, model: torch.nn.Module) -> None:
        name = first_nonfinite_weight(model)
        if self._in_any_process(name is not None):
            what = f"the weight {name}" if name else "a weight"
            raise self._fault(
                f"training step {self.state.global_step} of {self.args.max_steps}: {what} is no longer finite"
            )

    def seal_state(self, folder: Path) -> None:
        seal_and_prune(folder)


def _model_inputs(batch: MicroBatch) -> MicroBatch:
    return {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
