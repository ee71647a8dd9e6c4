"""The service behind page and API: submits jobs within the policy, and decides which jobs a visitor may see.

Of Gradio it uses only the request.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from memory.units import GIB
from pipelines.engines.availability import Resolved
from pipelines.errors import BadInput, Forbidden, NoSuchJob, NotAVideo, OverLimit, QueueFull
from pipelines.jobs import trash
from pipelines.jobs.events import Planned
from pipelines.jobs.job import Job
from pipelines.scheduler.queue import JobQueue
from pipelines.settings import CopySettings, Machine, PoseSettings, Settings
from pipelines.storage.names import shortened
from pipelines.video.pictures.limits import check_pixels
from pipelines.workers.pose import MODEL, PoseQuestion
from ui.jobs.engine_policy import accept_licence, check_model, resolve_for
from ui.jobs.hashing import fingerprint
from ui.jobs.job_log import JobLog
from ui.jobs.listing import Entry, JobList
from ui.jobs.looks import Looks
from ui.jobs.pose_client import PosingProcess
from ui.jobs.stream import POLL_SECONDS, views
from ui.jobs.thumbnails import Thumbnails
from ui.jobs.uploads import inspect_video, keep, place_of_look
from ui.jobs.view import JobView
from ui.jobs.viewing import Kind, Viewing
from ui.limits.room import Room
from ui.server.policy import Policy
from ui.server.sessions import GRACE_SECONDS, Presence
from ui.server.visitors import Keys, Right, Visitor, add_owner, drop_owner, owners

_NO_ID = "0" * 16
"""Stands for a job that there is none of, so that looking for it takes the work of looking for another's."""

_S = TypeVar("_S", bound=Machine)


class JobService:
    """Answers the requests of visitors. One for a server; thread-safe."""

    def __init__(
        self,
        queue: JobQueue,
        policy: Policy,
        *,
        grace_seconds: float = GRACE_SECONDS,
        asked: Callable[[Job], None] | None = None,
    ) -> None:
        """`asked` is called where a visitor asks for a job, in the context of the request."""
        self.queue = queue
        self.policy = policy
        self.presence = Presence(self._pause_jobs_of, grace_seconds=grace_seconds)
        self.room = Room(queue.jobs_dir, policy)
        self.looks = Looks(policy, self.room)
        self.viewing = Viewing(queue, policy.ram_limit_gb)
        self.keys = Keys(queue.jobs_dir)
        self.list = JobList(queue, policy, self.keys, self.viewing)
        most_bytes = int(policy.inspect_max_gb * GIB)
        self.thumbnails = Thumbnails(queue.jobs_dir, most_bytes=most_bytes, most_pixels=policy.most_pixels)
        self._posing = PosingProcess()
        self._submitted_by: dict[str, str] = {}
        self._lock = threading.Lock()
        self._log = JobLog()
        self._asked = asked
        queue.after_each(self._log.ended)

    def visitor(self, request: gr.Request) -> Visitor:
        """The visitor who sent `request`."""
        return Visitor.of(request, behind_proxy=self.policy.behind_proxy)

    # -- tasks ------------------------------------------------------------------------------------------------

    async def inspect(
        self,
        visitor: Visitor,
        task: str,
        file: str | None,
        settings: Settings,
        others: Sequence[str] = (),
    ) -> Planned:
        """Plan a run of `task` on uploads for `visitor` without running it.

        Raises OverLimit, WeightsMissing, QueueFull, and what `inspect_video` raises.
        """
        paths = [self._checked(each) for each in (file, *others)]
        resolve_for(task, settings, local=self.policy.local)
        ask = self.looks.by(visitor)
        plan = await inspect_video(task, paths, self.limited(settings), self.queue.jobs_dir, ask)
        self._check(plan)
        facts = plan.facts.model_copy(update={"name": shortened(plan.facts.name)})
        return plan.model_copy(update={"facts": facts})

    async def submit(
        self,
        visitor: Visitor,
        task: str,
        file: str | None,
        settings: Settings,
        others: Sequence[str] = (),
    ) -> Job:
        """Queue a job for `visitor`; the same inputs and settings give the same job, finished or not.

        `others` are the uploads that the task reads besides the video.
        Raises OverLimit, QueueFull, NotAVideo, WeightsMissing, LicenceNotAccepted, and what `inspect_video` raises.
        """
        resolved = resolve_for(task, settings, local=self.policy.local)
        if settings.engine != "auto" and resolved.engine.weights:
            accept_licence(resolved.engine.weights.model, local=self.policy.local)
        policy, paths = self.policy, [self._checked(each) for each in (file, *others)]
        if policy.max_megapixels or policy.max_minutes or policy.jobs_max_gb:
            await self.inspect(visitor, task, file, settings, others)
        limited = replace(resolved, settings=self.limited(resolved.settings))
        # Before `_submit`, which keeps others waiting.
        for path in paths:
            await fingerprint(path)
        for path in limited.weight_paths:
            with suppress(NotAVideo):  # said in other words there
                await fingerprint(path)
        return await asyncio.to_thread(self._submit, visitor, task, paths, limited)

    async def pose(self, visitor: Visitor, file: str | None, settings: PoseSettings, cache: Path) -> Path:
        """Draw a portrait posed by hand, as a JPEG in the page's `cache`. Needs LivePortrait's weights.

        Raises OverLimit, WeightsMissing, LicenceNotAccepted, QueueFull, and what `PosingProcess.ask` raises.
        """
        source, local = self._checked(file), self.policy.local
        check_model(MODEL, settings, local=local)
        accept_licence(MODEL, local=local)
        settings = self.limited(settings)
        asked_hash = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
        picture = place_of_look(cache, "poses", [await fingerprint(source)], f"{asked_hash}.jpg")
        if not picture.exists():
            pixels = self.policy.most_pixels
            asked = settings.model_dump(mode="json")
            question = PoseQuestion(source=source, asked=asked, picture=picture, most_pixels=pixels)
            await self.looks.pose(visitor, source, lambda: self._posing.ask(question))
        return picture

    def limited(self, settings: _S) -> _S:
        """`settings` with the RAM limit capped at the server's."""
        limits = [gb for gb in (settings.ram_limit_gb, self.policy.ram_limit_gb) if gb is not None]
        return settings.model_copy(update={"ram_limit_gb": min(limits, default=None)})

    def _submit(self, visitor: Visitor, task: str, paths: list[Path], resolved: Resolved[Any]) -> Job:
        with self._lock:
            self._check_share(visitor)
            self.room.ledger.use(paths)
            kept = [keep(path, self.queue.jobs_dir) for path in paths]
            try:
                job = self.queue.submit(task, kept[0], resolved, *kept[1:], visitor=self._turn(visitor))
            except Exception:
                # Without a job they would be nobody's.
                trash.erase(trash.move_unread(self.queue.jobs_dir, kept).values())
                raise
            self._note_asked(visitor, job)
            add_owner(job, visitor)
            return job

    def _note_asked(self, visitor: Visitor, job: Job) -> None:
        self._submitted_by[job.id] = visitor.counted_as
        self._log.asked(job, visitor.said)
        if self._asked:
            self._asked(job)

    def _turn(self, visitor: Visitor) -> str:
        """By whom visitors take turns; the person at this machine, who may move every job, is one."""
        return "" if self.policy.local else visitor.counted_as

    def _checked(self, file: str | None) -> Path:
        if not file:
            raise BadInput("There is no video.", "Choose one first.", "input.none")
        path, most = Path(file), self.policy.max_file_gb
        if not path.exists():
            raise BadInput(
                f"{path.name} is not here any more.", "Upload it again.", "input.gone", name=path.name
            )
        if path.stat().st_size > most * GIB:
            raise OverLimit(
                f"{shortened(path.name)} is larger than {most:g} GiB.",
                "Cut it or encode it smaller.",
                "limit.file",
                name=shortened(path.name),
                most_bytes=int(most * GIB),
            )
        return path

    def _check(self, plan: Planned) -> None:
        facts, policy = plan.facts, self.policy
        minutes, disk = facts.seconds / 60, plan.disk_bytes / GIB
        for width, height in ((facts.width, facts.height), *facts.other_sizes):
            check_pixels(width, height, policy.most_pixels)
        if policy.max_minutes and minutes > policy.max_minutes:
            raise OverLimit(
                f"The video has {minutes:.1f} minutes, more than {policy.max_minutes:g}.",
                "Cut it first.",
                "limit.minutes",
                minutes=round(minutes, 1),
                most=policy.max_minutes,
            )
        if policy.jobs_max_gb and disk > policy.jobs_max_gb:
            raise OverLimit(
                f"The job would write {disk:.1f} GiB; all jobs together may keep {policy.jobs_max_gb:g}.",
                "Choose a shorter part with start and end.",
                "limit.disk",
                needed_bytes=plan.disk_bytes,
                most_bytes=int(policy.jobs_max_gb * GIB),
            )

    def _check_share(self, visitor: Visitor) -> None:
        most = self.policy.max_jobs_per_visitor
        held = (*self.queue.waiting, *self.queue.running)
        mine = sum(self._submitted_by.get(job.id) == visitor.counted_as for job in held)
        if most is not None and mine >= most:
            raise QueueFull(
                f"You have {mine} jobs waiting or running, as many as one visitor may.",
                "Wait for one to end, or cancel one.",
                "queue.share",
                jobs=mine,
            )

    # -- one job ---------------------------------------------------------------------------------------------

    def find(self, visitor: Visitor, id: str, key: str = "") -> Job:
        """The job with this id, if `visitor` may see it: their own, any with one of its keys, and all in local mode.

        `id` and `key` may be any values of a request. Raises NoSuchJob, with the same message and after the same work
        where there is none and where it is not theirs.
        """
        try:
            found: Job | None = Job.find(self.queue.jobs_dir, id)
        except NoSuchJob:
            found = None
        if self.right(visitor, found or Job(self.queue.jobs_dir / _NO_ID), key) and found:
            return found
        raise NoSuchJob("There is no such job, or it is not yours.", "Open it by its whole link.", "job.gone")

    def find_to_act(self, visitor: Visitor, id: str, key: str = "") -> Job:
        """The job with this id, if `visitor` may stop, resume and delete it.

        Raises NoSuchJob as `find` does, and Forbidden for somebody who may look at it and no more.
        """
        job = self.find(visitor, id, key)
        if self.right(visitor, job, key) != "edit":
            raise Forbidden(
                "This link or key lets you look at the job; to stop, resume or delete it is forbidden (403).",
                "Ask whoever started the job for the link that may.",
                "job.look_only",
            )
        return job

    def right(self, visitor: Visitor, job: Job, key: str = "") -> Right:
        """What `visitor` may do with `job` when they have `key`."""
        by_key, owned_by = self.keys.right(job, key), owners(job)
        return "edit" if self.policy.local or visitor.name in owned_by else by_key

    def resume(self, visitor: Visitor, job: Job) -> None:
        """Go on with a job that was interrupted, paused, cancelled or failed. Raises QueueFull."""
        with self._lock:
            if not self.queue.holds(job):
                self._check_share(visitor)
                self._note_asked(visitor, job)
            self.queue.start(job, visitor=self._turn(visitor))

    async def make_viewable(self, visitor: Visitor, job: Job, kind: Kind = "copy") -> Job:
        """Make a version of a result that any browser plays, alone or with its source; return its job.

        Raises QueueFull, BadInput, InputChanged.
        """
        # Before the lock, which keeps others waiting.
        await fingerprint(self.viewing.source(job))
        return await asyncio.to_thread(
            self._make_version, visitor, lambda: self.viewing.start(job, kind, self._turn(visitor))
        )

    async def make_upload_viewable(self, visitor: Visitor, file: str | None) -> Job:
        """Make a version of an upload that any browser plays; return its job. Raises as `submit`."""
        path, policy = self._checked(file), self.policy
        if policy.max_megapixels or policy.max_minutes or policy.jobs_max_gb:
            await self.inspect(visitor, "copy", file, CopySettings())
        content = await fingerprint(path)

        def start() -> Job:
            self.room.ledger.use([path])
            kept = keep(path, self.queue.jobs_dir)
            try:
                return self.viewing.start_upload(kept, content, self._turn(visitor))
            except Exception:
                trash.erase(trash.move_unread(self.queue.jobs_dir, [kept]).values())
                raise

        return await asyncio.to_thread(self._make_version, visitor, start)

    def _make_version(self, visitor: Visitor, start: Callable[[], Job]) -> Job:
        with self._lock:
            self._check_share(visitor)
            made = start()
            self._note_asked(visitor, made)
            return made

    def inputs_key(self, job: Job) -> str:
        """The name of the folder from which its inputs are given back to whoever asked for `job`."""
        return self.keys.inputs(job)

    def delete(self, visitor: Visitor, job: Job) -> None:
        """Remove a job from `visitor`'s list, and its files from the disk unless other visitors own it too.

        Raises BadInput where it waits or runs, and where it has several owners and `visitor` only has its link.
        """
        owned_by = owners(job)
        if self.policy.local or len(owned_by) < 2:
            self.queue.delete(job)
        elif visitor.name in owned_by:
            drop_owner(job, visitor)
        else:
            raise BadInput("Several visitors asked for this job.", "Only they can delete it.", "job.shared")

    def snapshot(self, job: Job, right: Right = "edit") -> JobView:
        """The job as it is now, for somebody with this `right`. Reads all events since its last start."""
        view = JobView.of(job)
        events = (event for event, _ in job.journal.read(job.journal.last_start()))
        view = reduce(JobView.after, events, view)
        state = self.queue.state(job)
        if state == "interrupted":
            view = view.with_status(state=state, eta_seconds=None)
        return self._named(view, job, right)

    async def watch(
        self, job: Job, right: Right = "edit", *, longest_seconds: float = POLL_SECONDS
    ) -> AsyncGenerator[JobView]:
        """Yield the job's newest view until it ends, as `views` does; one alone where it has ended."""
        view = await asyncio.to_thread(self.snapshot, job, right)
        if view.status.state not in ("queued", "running"):
            yield view
            return
        async with aclosing(views(self.queue, job, longest_seconds)) as stream:
            async for view in stream:
                yield self._named(view, job, right)

    def query(self, visitor: Visitor, job: Job, key: str = "") -> str:
        """The job's link for `visitor`'s address bar, which came with `key`: for looking, where they need no other."""
        known = self.policy.local or (visitor.lasts and visitor.name in owners(job))
        acts = not known and self.right(visitor, job, key) == "edit"
        return f"?job={job.id}&key={self.keys.edit(job) if acts else self.keys.view(job)}"

    def files_key(self, job: Job) -> str:
        """The name of the folder from which files of `job` are served."""
        return self.keys.files(job)

    def _named(self, view: JobView, job: Job, right: Right) -> JobView:
        looks, acts = self.keys.view(job), self.keys.edit(job) if right == "edit" else ""
        named = view.with_status(job=job.id, key=acts or looks, view=looks, edit=acts)
        return replace(named, files=self.keys.files(job))

    # -- all jobs --------------------------------------------------------------------------------------------

    def jobs(self, visitor: Visitor) -> list[Entry]:
        """The jobs that `visitor` started (local mode: all), the newest first, at most `SHOWN_JOBS`."""
        return self.list.entries(visitor)

    def remove(self, visitor: Visitor, job: Job) -> None:
        """Do what `delete` does, also where the job waits. Raises BadInput where it runs."""
        if self.list.is_only_of(visitor, job):
            self.queue.withdraw(job)
        self.delete(visitor, job)

    def _pause_jobs_of(self, visitor: str) -> None:
        if self.policy.on_disconnect == "continue":
            return
        for job in (*self.queue.waiting, *self.queue.running):
            owned_by = owners(job)
            if visitor in owned_by and not any(self.presence.is_there(owner) for owner in owned_by):
                self.queue.stop(job, "pause")
