"""Follows a task and everything it delegates to the end, and puts the questions that come to the person.

Rule: watching owns nothing. Stopping it, or losing the connection, changes no task.
"""

import asyncio
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime

from chargehand.cli.event_data import text
from chargehand.cli.exits import say
from chargehand.cli.lines import one_line
from chargehand.cli.progress import Progress, children_of
from chargehand.cli.shows import REFRESH_SECONDS, Beside, Show, show_for
from chargehand.client import AsyncClient
from chargehand.domain.history import EventKind
from chargehand.domain.values import JsonValue
from chargehand.errors import ChargehandError
from chargehand.wire.rest import EventBody, QuestionBody, TaskBody

MAX_STREAMS = 64
"""Tasks of a tree that are followed at once; more wait until one of these has ended."""
LINGER_SECONDS = 2.0
"""How long the children's last words are waited for after the root has ended."""


async def watch(
    client: AsyncClient, task: TaskBody, *, as_json: bool, beside: Beside | None = None
) -> TaskBody:
    """Show the tree until its root has ended; the root as it then stands."""
    beside = beside or Beside()
    progress = Progress(task.id, task.agent_id)
    show = show_for(progress, as_json=as_json)
    may_ask = not as_json and sys.stdin.isatty()
    watching = _Watching(client, progress, show, beside, may_ask=may_ask)
    told_before, beside.tell = beside.tell, show.trouble
    try:
        await watching.run()
    finally:
        beside.tell = told_before
        show.close()
    return await client.task(task.id)


class _Watching:
    def __init__(
        self, client: AsyncClient, progress: Progress, show: Show, beside: Beside, *, may_ask: bool
    ) -> None:
        self._client = client
        self._progress = progress
        self._show = show
        self._beside_it = beside
        self._may_ask = may_ask
        self._asked: set[tuple[str, str]] = set()
        self._dialogue = asyncio.Lock()
        self._streams = asyncio.Semaphore(MAX_STREAMS)
        self._beside: set[asyncio.Task[None]] = set()
        self._failure: ChargehandError | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick())
            try:
                await self._follow(self._progress.root_id, group)
                if self._beside:
                    await asyncio.wait(self._beside, timeout=LINGER_SECONDS)
            except ChargehandError as error:
                self._failure = error
            for one in (ticking, *self._beside):
                one.cancel()
        self._show.tick()
        if self._failure is not None:
            raise self._failure

    async def _tick(self) -> None:
        while True:
            self._show.tick()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _follow(self, task_id: str, group: asyncio.TaskGroup) -> None:
        async with self._streams:
            async for event in self._client.follow(
                task_id, on_trouble=self._trouble, on_delta=self._progress.hear
            ):
                self._take(event, group)

    async def _follow_child(self, task_id: str, group: asyncio.TaskGroup) -> None:
        try:
            await self._follow(task_id, group)
        except ChargehandError as error:
            self._show.trouble(f"task {task_id} cannot be followed: {error}")

    def _take(self, event: EventBody, group: asyncio.TaskGroup) -> None:
        if not self._progress.take(event, received_at=datetime.now(UTC)):
            return
        agent_id = self._progress.tasks[event.task_id].agent_id
        self._show.event(event, agent_id)
        self._beside_it.hear(event, agent_id)
        for child_id, _ in children_of(event):
            self._start(group, self._follow_child(child_id, group))
        if event.kind == EventKind.APPROVAL_REQUESTED:
            self._show.trouble(approval_lines(event))
        if event.kind == EventKind.ASKED:
            self._start(group, self._question(event.task_id))

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[None, None, None]) -> None:
        started = group.create_task(work)
        self._beside.add(started)
        started.add_done_callback(self._beside.discard)

    def _trouble(self, text: str) -> None:
        self._show.trouble(f"{text}; trying again (the task goes on meanwhile)")

    async def _question(self, task_id: str) -> None:
        """Put the open questions of a task to the person, or say how to answer them."""
        try:
            async with self._dialogue:
                for question in await self._client.questions(task_id):
                    if (task_id, question.question) not in self._asked:
                        self._asked.add((task_id, question.question))
                        await self._put(task_id, question)
        except ChargehandError as error:
            # Somebody else was quicker, or the task has ended.
            self._show.trouble(str(error))

    async def _put(self, task_id: str, question: QuestionBody) -> None:
        if not self._may_ask:
            self._show.trouble(
                f"{task_id} asks: {one_line(question.text)}{_choices(question)}\n"
                f"answer with: chargehand tasks answer {task_id} ANSWER --question {question.question}"
            )
            return
        with self._show.aside():
            answer = await _asked_of_person(question)
        if answer is None:
            self._show.trouble(
                f"not answered; chargehand tasks answer {task_id} ANSWER --question {question.question}"
            )
        else:
            await self._client.answer(task_id, question.question, answer)


def approval_lines(event: EventBody) -> str:
    """That a call waits for a person, and how it is decided."""
    data, approval_id = event.data, text(event.data, "approval_id")
    call = one_line(f"{text(data, 'tool')} {text(data, 'summary')}").strip()
    return (
        f"{event.task_id} waits for approval: {call} ({one_line(text(data, 'why'))})\n"
        f"decide with: chargehand approvals approve {approval_id}, or deny {approval_id} --reason TEXT"
    )


async def _asked_of_person(question: QuestionBody) -> JsonValue:
    """The answer; None at the end of input."""
    say(f"\n{one_line(question.text)}")
    choices: list[JsonValue] = list(question.choices or [])
    for number, choice in enumerate(choices, 1):
        say(f"  {number}. {choice}")
    while True:
        line = await _typed_line("number or text: " if choices else "answer: ")
        if line is None:
            return None
        if line.strip():
            answer = chosen(line.strip(), choices)
            if answer is not None:
                return answer
            say(f"choose 1 to {len(choices)}, or type one of the answers")


def chosen(text: str, choices: list[JsonValue]) -> JsonValue:
    """What a typed text means: a choice by number or by name, anything where all is allowed, else None."""
    if not choices:
        return text
    for choice in choices:
        if text == str(choice):
            return choice
    if text.isdecimal() and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1]
    return None


def _choices(question: QuestionBody) -> str:
    return f" [{', '.join(str(choice) for choice in question.choices)}]" if question.choices else ""


async def _typed_line(prompt: str) -> str | None:
    """A line from the terminal, read beside the event loop; None at its end.

    A daemon thread, because nothing can end a read of the terminal: the process must not wait for it.
    """
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str | None] = loop.create_future()

    def settle(line: str | None) -> None:
        if not typed.done():
            typed.set_result(line)

    def read() -> None:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
        # The loop may be closed by now: nobody waits for the answer any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, line or None)

    threading.Thread(target=read, daemon=True, name="question").start()
    return await typed
