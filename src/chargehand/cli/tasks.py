"""The work of `chargehand tasks`, but for watching (running.py)."""

import json
from collections.abc import Sequence
from pathlib import Path

from chargehand.cli.connection import connect
from chargehand.cli.endings import say_stderr
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.inputs import budget_of, labels_of
from chargehand.cli.lines import one_line, seconds_text, shortened, size_text, time_text
from chargehand.cli.listing import show_list
from chargehand.cli.output import write, write_fields, write_json, write_rows
from chargehand.cli.running import see_through
from chargehand.cli.steps import write_steps
from chargehand.cli.unpacking import check_target
from chargehand.cli.watching import chosen
from chargehand.client import AsyncClient, listing
from chargehand.errors import InvalidInput, NotFound
from chargehand.wire.rest import DeliverableBody, QuestionBody, TaskBody


async def list_tasks(
    server: str | None,
    *,
    agent_id: str | None,
    status: str | None,
    labels: Sequence[str],
    limit: int,
    as_json: bool,
) -> ExitCode:
    """Tasks, newest first."""
    wanted = labels_of(labels)
    return await show_list(
        server,
        lambda client, cursor, most: client.tasks(
            listing(agent_id=agent_id, status=status, labels=wanted, cursor=cursor, limit=most)
        ),
        ("TASK", "STATUS", "AGENT", "CREATED"),
        lambda one: (one.id, _standing(one), one.agent_id, time_text(one.created_at)),
        limit=limit,
        as_json=as_json,
    )


def _standing(task: TaskBody) -> str:
    return f"{task.status} ({task.reason})" if task.reason else str(task.status)


async def show_task(task_id: str, server: str | None, *, steps: bool, as_json: bool) -> ExitCode:
    """One task and what belongs to it."""
    async with connect(server) as connection:
        client = connection.client
        task = await client.task(task_id)
        children = await client.children(task_id)
        questions = await client.questions(task_id)
        delivered = await client.deliverables(task_id)
        journal = await client.steps(task_id) if steps else []
    if as_json:
        shown: dict[str, object] = {"task": task.model_dump(mode="json")}
        parts = {"children": children, "questions": questions, "deliverables": delivered}
        for name, items in (parts | {"steps": journal} if steps else parts).items():
            shown[name] = [one.model_dump(mode="json") for one in items]
        write_json(shown)
        return ExitCode.OK
    _write_task(task)
    say_stderr(task, write)
    _write_children(children)
    _write_questions(task, questions)
    _write_deliverables(delivered)
    write_steps(task, journal)
    return ExitCode.OK


def _write_task(task: TaskBody) -> None:
    took = None
    if task.started_at:
        took = (task.finished_at or task.updated_at) - task.started_at
    write_fields(
        [
            ("task", task.id),
            ("agent", f"{task.agent_id} (version {task.agent_version[:12]})"),
            ("status", _standing(task)),
            ("error", task.error.message if task.error else ""),
            ("result", _json_text(task.result) if task.result is not None else ""),
            ("input", _json_text(task.task_data)),
            ("labels", ", ".join(f"{key}={value}" for key, value in task.labels.items())),
            ("parent", task.parent_id or ""),
            ("attempt", str(task.attempt)),
            ("repair round", str(task.round) if task.round else ""),
            ("created", f"{time_text(task.created_at)} by {task.created_by}"),
            ("started", time_text(task.started_at)),
            ("finished", time_text(task.finished_at)),
            ("took", seconds_text(took.total_seconds()) if took and task.finished_at else ""),
            ("deadline", time_text(task.deadline_at) if not task.finished_at else ""),
            ("steps", f"{task.steps_spent} in the tree" if task.parent_id is None else ""),
            ("models", f"{task.spent.usd} USD, {task.spent.tokens} tokens" if task.spent.tokens else ""),
        ]
    )


def _json_text(value: object) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), 400)


def _write_children(children: Sequence[TaskBody]) -> None:
    if children:
        write("\nchildren")
        write_rows(("TASK", "STATUS", "AGENT"), [(one.id, _standing(one), one.agent_id) for one in children])


def _write_questions(task: TaskBody, questions: Sequence[QuestionBody]) -> None:
    for one in questions:
        write(f"\nquestion {one.question}: {one_line(one.text)}")
        if one.choices:
            write(f"  one of: {', '.join(str(choice) for choice in one.choices)}")
        write(f"  answer with: chargehand tasks answer {task.id} ANSWER --question {one.question}")


def _write_deliverables(delivered: Sequence[DeliverableBody]) -> None:
    for one in delivered:
        write(f"\ndeliverable {one.name}: {len(one.files)} files, {size_text(one.size_bytes)}")
        for found in one.evidence:
            verdict = "passed" if found.passed else "FAILED"
            write(f"  {verdict}: {one_line(found.check)} ({seconds_text(found.duration_seconds)})")


async def cancel_task(task_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """Cancel a task."""
    async with connect(server) as connection:
        answer = await connection.client.cancel(task_id)
    if as_json:
        write_json(answer)
    elif answer.cancel == "confirmed":
        write(f"canceled: nothing of task {task_id} runs any more")
    else:
        write(f"cancel requested: the workers of task {task_id} are being stopped")
    return ExitCode.OK


async def retry_task(
    task_id: str,
    server: str | None,
    *,
    budget: Sequence[str] | None,
    watch: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> ExitCode:
    """Reopen a task."""
    raised = budget_of(budget) if budget else None
    if out is not None:
        check_target(out, force=force)
    async with connect(server, engine=watch) as connection:
        task = await connection.client.retry(task_id, budget=raised)
        if watch:
            return await see_through(connection, task, out=out, force=force, as_json=as_json)
    if as_json:
        write_json(task)
    else:
        write(f"task {task.id} is {task.status} again")
        if connection.is_own:
            say(f"no service runs; go on with: chargehand tasks watch {task.id}")
    return ExitCode.OK


async def answer_question(task_id: str, text: str, question: str | None, server: str | None) -> ExitCode:
    """Answer an open question."""
    async with connect(server) as connection:
        client = connection.client
        asked = await _asked(client, task_id, question)
        answer = chosen(text, list(asked.choices or []))
        if answer is None:
            allowed = ", ".join(str(one) for one in asked.choices or [])
            raise InvalidInput(f"the answer is one of {allowed}, not {text!r}")
        await client.answer(task_id, asked.question, answer)
    write(f"answered: {one_line(asked.text)}")
    if connection.is_own:
        say(f"no service runs; go on with: chargehand tasks watch {task_id}")
    return ExitCode.OK


async def send_message(task_id: str, text: str, server: str | None, *, as_json: bool) -> ExitCode:
    """Tell a task something."""
    async with connect(server) as connection:
        task = await connection.client.send_message(task_id, text)
    if as_json:
        write_json(task)
    elif task.id == task_id:
        write(f"sent: task {task_id} reads it at its next turn")
    else:
        write(f"task {task_id} has ended; task {task.id} goes on from it")
    if connection.is_own:
        say(f"no service runs; go on with: chargehand tasks watch {task.id}")
    return ExitCode.OK


async def _asked(client: AsyncClient, task_id: str, question: str | None) -> QuestionBody:
    """The question that is meant."""
    found = await client.questions(task_id)
    if not found:
        raise NotFound(f"task {task_id} waits for no answer")
    if question is None and len(found) == 1:
        return found[0]
    for one in found:
        if one.question == question:
            return one
    listed = "; ".join(f"{one.question}: {one_line(one.text)}" for one in found)
    raise InvalidInput(f"say which question with --question: {listed}")
