"""The Coder that is a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from warpsmith.agents.coder import assigned, parsed
from warpsmith.agents.llm.model import Model, Request, Turn
from warpsmith.agents.prompts.render import Prompt, Writer
from warpsmith.agents.prompts.views import KernelView, one_line, tried
from warpsmith.agents.protocols import Ask, Improve, Move, Proposal, RoundEndedError
from warpsmith.agents.replies import Draft, MalformedReplyError, read_reply
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.candidate import Candidate
from warpsmith.core.outcome import Verified
from warpsmith.core.task import Task
from warpsmith.seeds import Seed

TURNS = 3
"""Replies of one round: the first, and two more after an objection each."""


@dataclass(frozen=True, slots=True)
class ModelCoder:
    """Begins with the kernel there is, if any; then asks a model to write, mend or improve."""

    model: Model
    writer: Writer
    task: Task
    language: str
    first: Seed | None = None
    """What must be beaten: evaluated as round 1, nobody asked."""
    by: str = "seed"
    at_once: int = 1

    @property
    def name(self) -> str:
        return self.model.name

    async def write(self, state: RunState, move: Move, number: int, ask: Ask) -> Proposal | None:
        """The candidate of a round.

        Raises:
            RoundEndedError: no reply held a kernel file, or the budget is spent.
            ModelError: nobody answers.
        """
        if self.first is not None and number == 1:
            start = parsed(self.first, self.by).kernel
            return Proposal(assigned(start, self.task.name, start.default_knobs()), f"seed {self.first.name}", self.by)
        parent = move.parent if isinstance(move, Improve) else None
        shown = KernelView(parent.candidate, parent.evaluation).text if parent and parent.evaluation else ""
        prompt = self.prompt(state, parent)
        draft = await self._converse(prompt, number, ask, shown, state)
        return Proposal(
            self._candidate(draft), one_line(draft.idea), self.model.name, parent.identity if parent else ""
        )

    def prompt(self, state: RunState, parent: Attempt | None) -> Prompt:
        """What is asked of the model."""
        rounds, beside = tried(state), in_flight(state)
        if parent is None or parent.evaluation is None:
            return self.writer.new(rounds, beside)
        kernel = KernelView(parent.candidate, parent.evaluation)
        best = state.best
        incumbent = KernelView(best.candidate, best.evaluation) if best and best.evaluation else None
        if isinstance(parent.evaluation.outcome, Verified):
            return self.writer.optimise(kernel, parent.critique, rounds, incumbent, beside)
        return self.writer.repair(kernel, parent.critique, rounds, incumbent)

    async def _converse(self, prompt: Prompt, number: int, ask: Ask, parent: str, state: RunState) -> Draft:
        """Ask, and answer a reply that cannot be used; the last one that looks like a kernel is taken as it is."""
        stem = f"{number:03d}-coder-{prompt.stage.value}"
        request = Request(f"{stem}-1", prompt.system, (Turn("user", prompt.question),))
        objection, draft = "", None
        for turn in range(1, TURNS + 1):
            reply = await ask(self.model, request)
            try:
                draft = read_reply(reply.text, reply.finish, task=self.task, language=self.language, parent=parent)
                earlier = state.find(self._candidate(draft).identity)
                if draft.flaw is None and earlier is None:
                    return draft
                objection = f"{draft.flaw} Send the corrected kernel file, whole."
                if earlier is not None:
                    objection = f"This is the kernel of round {earlier.proposed.round}, unchanged. Send another."
            except MalformedReplyError as error:
                objection = str(error)
            request = request.answered(f"{stem}-{turn + 1}", reply.text, objection)
        if draft is None:
            raise RoundEndedError(f"{TURNS} replies held no kernel file; the last: {objection}")
        return draft

    def _candidate(self, draft: Draft) -> Candidate:
        if draft.kernel is not None:
            return assigned(draft.kernel, self.task.name, draft.kernel.default_knobs())
        return Candidate(task=self.task.name, language=self.language, text=draft.text)


def in_flight(state: RunState) -> Sequence[str]:
    """Ideas that are being evaluated while another is asked for."""
    return [one_line(attempt.proposed.idea) for attempt in state.open_attempts if attempt.evaluation is None]
