"""How many workers compute a job together, and what is predicted then: numbers only."""

from dataclasses import dataclass, replace
from typing import Self

from memory.plan import Plan
from pipelines.errors import Sentence
from pipelines.runtime.crew import Hiring
from pipelines.runtime.preparation import Preparation
from pipelines.stages import Warn


@dataclass(frozen=True)
class Share:
    """What a run and its workers agree on."""

    workers: int
    """At most so many; 0: all that join."""
    plan: Plan
    """That of each worker."""
    together: Preparation
    """The preparation with what is predicted for all processes on this machine."""

    @classmethod
    def of(
        cls, hiring: Hiring, prepared: Preparation, spans: int, held_bytes: int, warn: Warn
    ) -> Self | None:
        """Return how a job of so many `spans` is shared; None where this process is to compute alone.

        Workers of this machine fit into its memory beside the `held_bytes` of the run; a warning says where those are
        fewer than were wanted. Those that join have memory of their own. Those that only compute networks on a GPU
        are not needed without.
        """
        if hiring.networks_only and not prepared.uses_gpu:
            return None
        if hiring.joins:
            return cls(hiring.workers, prepared.plan, prepared)
        wanted = hiring.workers or len(prepared.slots)
        count, plan = prepared.shared(wanted, held_bytes)
        if count < min(wanted, spans):
            sentence = f"{count} of {wanted} workers fit into the memory."
            warn("workers", Sentence(sentence, "workers_fit", count=count, wanted=wanted))
        if count < 2:
            return None
        whole = replace(
            plan,
            predicted_host_bytes=held_bytes + count * plan.predicted_host_bytes,
            budget_host_bytes=prepared.plan.budget_host_bytes,
            reason=f"{count} workers, each: {plan.reason[0].lower()}{plan.reason[1:]}",
        )
        return cls(count, plan, replace(prepared, plan=whole))
