"""The driver's loop: chunks of rows out, videos to do back, blocks out, what became of them back."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from vqa.errors import VqaError
from vqa.extract.spec import ModelSpec
from vqa.pipeline.cluster.agreeing import Agreement
from vqa.pipeline.cluster.members import Answer, Crew, Member
from vqa.pipeline.cluster.planning import Planner
from vqa.pipeline.cluster.results import Results
from vqa.pipeline.cluster.work import Prepared, Row, Settled, Todo

HORIZON = 1 << 14
"""Videos that are to be done and wait: among so many the longest come first."""
CHUNK = 32
"""Rows that are looked at in one go."""
_LOOKS, _BLOCKS = 2, 2
"""Of one extractor at once: so it never waits for the driver."""
_WAIT_SECONDS = 1.0
_ENLIST_SECONDS = 10
_PULSE_SECONDS = 1.0
_MOST_TRIES = 3


class Drive:
    """One run over a cluster's extractors.

    Args:
        crew: The extractors.
        rows: The dataset's files; taken as they are needed.
        results: Takes what becomes of them.
    """

    def __init__(self, crew: Crew, rows: Iterator[Row], results: Results) -> None:
        self._crew, self._results = crew, results
        self._chunks = iter(lambda: tuple(itertools.islice(rows, CHUNK)), ())
        self._again: deque[tuple[Row, ...]] = deque()
        """Chunks whose extractor has died."""
        self._planner = Planner()
        self._needed: set[int] = set()
        """Candidates that some video lacks."""
        self._settled: Settled | None = None
        self._agreement = Agreement(())
        self._more = True
        self._enlisted = 0.0

    def settle(self, specs: Sequence[ModelSpec], *, new_generation: bool) -> Settled:
        """Let the first extractor that is ready choose each candidate's generation and precision.

        Raises:
            VqaError: no extractor can be started, or the models can't be settled.
        """
        self._enlist()
        asked: Member | None = None
        while self._settled is None:
            ready = next((member for member in self._crew.members if member.begun), None)
            if asked not in self._crew.members and ready is not None:
                asked = ready
                self._crew.ask(asked, "settle", specs, new_generation)
            self._take_all()
        self._agreement = Agreement(self._settled.candidates)
        for member in self._crew.members:
            if member.begun and member is not asked:
                self._crew.ask(member, "join", self._settled.candidates)
        if asked is not None:
            asked.joined = True
        return self._settled

    def go(self) -> None:
        """Go through all rows.

        Raises:
            VqaError: no extractor is left, or one can't go on; what was stored stays stored.
        """
        while self._more or self._planner.busy or self._looking:
            for member in list(self._crew.members):
                if member.joined:
                    self._give(member)
            self._take_all()
        self._results.end()

    @property
    def unavailable(self) -> Mapping[int, str]:
        """Candidates that could not be loaded, with the reason."""
        return self._agreement.unavailable

    @property
    def _looking(self) -> bool:
        return bool(self._again) or any(member.busy["look_at"] for member in self._crew.members)

    def _give(self, member: Member) -> None:
        """Keep an extractor busy."""
        while member.busy["look_at"] < _LOOKS and len(self._planner) < HORIZON and (chunk := self._next_chunk()):
            self._crew.ask(member, "look_at", chunk)
        if not self._is_prepared(member):
            return
        while self._has_room(member) and (block := self._next_block(member)):
            member.trying = block[0].tries > 0
            self._crew.ask(member, "work_on", block)
        if member.busy["work_on"] and not member.busy["pulse"] and time.monotonic() - member.pulsed > _PULSE_SECONDS:
            member.pulsed = time.monotonic()
            self._crew.ask(member, "pulse")

    def _has_room(self, member: Member) -> bool:
        """Return whether an extractor takes one more block; a suspect it has to itself, so that no other is blamed."""
        if self._planner.comes_to_suspects or member.trying:
            return not member.busy["work_on"]
        return member.busy["work_on"] < _BLOCKS

    def _next_chunk(self) -> tuple[Row, ...]:
        if self._again:
            return self._again.popleft()
        chunk = next(self._chunks, ()) if self._more else ()
        self._more = bool(chunk)
        return chunk

    def _is_prepared(self, member: Member) -> bool:
        """Return whether an extractor has all models that some video lacks; have it load them if not."""
        lacking = self._needed - member.prepared - self._agreement.unavailable.keys()
        if lacking and not member.busy["prepare"] and not member.busy["agree_on"]:
            self._crew.ask(member, "prepare", tuple(sorted(lacking)))
        return bool(self._needed) and not lacking

    def _next_block(self, member: Member) -> tuple[Todo, ...]:
        """Take a block, of what can be done of it; while rows come in, wait for a large one if there is work."""
        workers = sum(each.joined for each in self._crew.members)
        if self._more and member.busy["work_on"] and len(self._planner) < CHUNK * workers:
            return ()
        while block := self._planner.cut(workers, more=self._more):
            without = self._agreement.unavailable.keys()
            able = [replace(todo, models=tuple(set(todo.models) - without)) for todo in block]
            self._planner.finish(todo for todo in able if not todo.models)
            if any(todo.models for todo in able):
                return tuple(todo for todo in able if todo.models)
        return ()

    def _take_all(self) -> None:
        for answer in self._crew.wait(_WAIT_SECONDS):
            if answer.lost:
                self._take_loss(answer)
            else:
                self._take(answer)
        self._results.tell(self._crew.members)
        if time.monotonic() - self._enlisted > _ENLIST_SECONDS:
            self._enlist()

    def _enlist(self) -> None:
        self._crew.enlist()
        self._enlisted = time.monotonic()

    def _take(self, answer: Answer) -> None:
        member = answer.member
        match answer.method:
            case "begin":
                if self._settled is not None:
                    self._crew.ask(member, "join", self._settled.candidates)
            case "settle":
                self._settled = answer.value
            case "join":
                member.joined = True
            case "look_at":
                self._needed.update(place for todo in answer.value.todo for place in todo.models)
                todos = self._results.look(answer.value, rows=len(answer.arguments[0]))
                self._results.expect(self._planner.add(todos))
            case "prepare":
                self._take_prepared(member, answer.value)
            case "agree_on":
                member.prepared |= answer.arguments[0].keys()
            case "work_on":
                member.trying = False
                self._planner.finish(answer.arguments[0])
                self._results.add(answer.arguments[0], answer.value)
            case "pulse":
                member.pulse = answer.value

    def _take_prepared(self, member: Member, prepared: Prepared) -> None:
        """Let an extractor take what all agree on; one that came late and does not agree is left out."""
        try:
            probes = self._agreement.take(member.node.name, prepared)
        except VqaError as error:
            if not member.late:
                raise
            self._crew.dismiss(member, error)
        else:
            self._crew.ask(member, "agree_on", probes)

    def _take_loss(self, answer: Answer) -> None:
        """Let others do what a dead extractor was asked; a video that killed several of them is given up."""
        if answer.method == "look_at":
            self._again.append(answer.arguments[0])
        if answer.method == "work_on":
            block = answer.arguments[0]
            if answer.to_blame and len(block) == 1 and block[0].tries + 1 >= _MOST_TRIES:
                self._planner.finish(block)
                self._results.give_up(block[0], deaths=_MOST_TRIES)
            else:
                self._planner.put_back(block, tried=answer.to_blame)
        self._enlisted = 0.0
