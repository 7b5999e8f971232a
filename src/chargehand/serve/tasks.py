"""Tasks over HTTP: submit, read, list, cancel, retry, answer, and a task's steps, children and questions."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import FINAL, Task, TaskOrder
from chargehand.serve import queries
from chargehand.serve.auth import principal_of, reader_of, verify_again
from chargehand.serve.body import read_json
from chargehand.serve.pages import page_answer, page_of
from chargehand.serve.path_ids import agent_id_of, task_id_of
from chargehand.serve.queries import Query, wait_seconds
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.serve.stopping import Stopping
from chargehand.service.services import Services
from chargehand.wire.answers import listed, question_body, step_body, task_body
from chargehand.wire.rest import (
    AnswerSubmission,
    CancelBody,
    MessageSubmission,
    QuestionList,
    RetrySubmission,
    StepList,
    TaskBody,
    TaskList,
    TaskPage,
    TaskSubmission,
)

_LIST = (
    queries.AGENT,
    queries.STATUS,
    queries.LABEL,
    queries.PARENT,
    queries.CONTEXT,
    queries.CURSOR,
    queries.LIMIT,
)
_LIST_OF_AGENT = _LIST[1:]
_APPLIED = {"Preference-Applied": "`wait=…`, when the preference was honoured."}
_REPLAYED = {"Idempotent-Replayed": "`true` when an earlier request with the same key had stored the task."}
_LOCATION = {"Location": "Where the task is."}
_OF_TASK: dict[str, tuple[str, str]] = dict.fromkeys(
    (
        "get_task",
        "list_events",
        "list_steps",
        "list_children",
        "list_questions",
        "list_deliverables",
        "get_all_deliverables",
        "answer_question",
        "send_message",
        "cancel_task",
        "retry_task",
    ),
    ("task_id", "/id"),
)


@dataclass(frozen=True, slots=True)
class TaskRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services
    stopping: Stopping

    async def submit_task(self, request: Request) -> Response:
        """Hand an agent a task. It is on disk before the answer is sent.

        The agent `auto` is whichever one's description fits the input; the answer's `selection` says why.
        With `Prefer: wait=30` the answer is 200 and the ended task when it ends in that time, else 202.
        """
        agent_id = agent_id_of(request)
        sent = await read_json(request, TaskSubmission)
        who = principal_of(request)
        order = TaskOrder(
            agent_id=agent_id,
            task_data=sent.task_data,
            context_id=sent.context_id,
            labels=sent.labels,
            priority=sent.priority,
            run_after=sent.run_after,
            timeout_seconds=sent.timeout_seconds,
            budget=sent.budget.as_data() if sent.budget else {},
            output_schema=sent.output_schema,
            traceparent=request.headers.get("traceparent"),
            idempotency_key=request.headers.get("idempotency-key"),
        )
        accepted = await self.services.tasks.submit(who, order)
        headers = {"Location": f"/tasks/{accepted.task.id}"}
        if accepted.replayed:
            headers["Idempotent-Replayed"] = "true"
        task = accepted.task
        seconds = wait_seconds(request)
        if seconds is not None:
            task = await self._waited(request, task, seconds)
            if task.status in FINAL:
                headers["Preference-Applied"] = f"wait={seconds}"
                return JsonResponse(task_body(task, accepted.selection), 200, headers)
        return JsonResponse(task_body(task, accepted.selection), 202, headers)

    async def get_task(self, request: Request) -> Response:
        """A task as it stands; with `Prefer: wait=30`, as soon as it has ended or after that time."""
        task_id = task_id_of(request)
        task = await self.services.watch.get(principal_of(request), task_id)
        seconds = wait_seconds(request)
        if seconds is None:
            return JsonResponse(task_body(task))
        task = await self._waited(request, task, seconds)
        return JsonResponse(task_body(task), headers={"Preference-Applied": f"wait={seconds}"})

    async def _waited(self, request: Request, task: Task, seconds: int) -> Task:
        """The task when it has ended, the time is up or the service stops, whichever comes first."""
        if task.status in FINAL or seconds == 0:
            return task
        watch, who = self.services.watch, reader_of(request)
        ended = await self.stopping.unless_stopped(watch.wait(who, task.id, seconds))
        await verify_again(request.scope)
        return ended if ended is not None else await watch.get(who, task.id)

    async def list_tasks(self, request: Request) -> Response:
        """Tasks, newest first, narrowed by what is given."""
        query = Query(request, _LIST)
        return await self._page(request, query, query.text(queries.AGENT))

    async def list_tasks_of_agent(self, request: Request) -> Response:
        """One agent's tasks, newest first."""
        agent_id = agent_id_of(request)
        query = Query(request, _LIST_OF_AGENT)
        await self.services.agents.current(principal_of(request), agent_id)
        return await self._page(request, query, agent_id)

    async def _page(self, request: Request, query: Query, agent_id: str | None) -> Response:
        labels = query.labels()
        page = await self.services.watch.page(
            principal_of(request),
            agent_id=agent_id,
            status=query.choice(queries.STATUS),
            parent_id=query.text(queries.PARENT),
            context_id=query.text(queries.CONTEXT),
            labels=labels or {},
            cursor=query.text(queries.CURSOR),
            limit=query.number(queries.LIMIT),
        )
        if labels is None:
            return JsonResponse(listed((), next_cursor=None))
        return page_answer(request, map(task_body, page.items), page.next_cursor)

    async def cancel_task(self, request: Request) -> Response:
        """Cancel a task and all that is open below it."""
        who, task_id = principal_of(request), task_id_of(request)
        how_far = await self.services.tasks.cancel(who, task_id)
        task = await self.services.watch.get(reader_of(request), task_id)
        return JsonResponse({"cancel": how_far, "task": task_body(task)})

    async def retry_task(self, request: Request) -> Response:
        """Give a failed or canceled task another try; it goes on from its journal."""
        who, task_id = principal_of(request), task_id_of(request)
        sent = await read_json(request, RetrySubmission) if await request.body() else RetrySubmission()
        budget = sent.budget.as_data() if sent.budget else None
        task = await self.services.tasks.retry(who, task_id, budget)
        return JsonResponse(task_body(task), 202, {"Location": f"/tasks/{task.id}"})

    async def answer_question(self, request: Request) -> Response:
        """Answer a question that the task waits for."""
        who, task_id = principal_of(request), task_id_of(request)
        sent = await read_json(request, AnswerSubmission)
        await self.services.tasks.answer(who, task_id, sent.question, sent.answer)
        return JsonResponse(task_body(await self.services.watch.get(reader_of(request), task_id)))

    async def send_message(self, request: Request) -> Response:
        """Tell a task something, whose agent a model runs.

        An open task takes it at its next turn. A finished one is followed by a new task of the same agent in the same
        context and workspace, which goes on from the conversation; `Location` says which task has the message.
        """
        who, task_id = principal_of(request), task_id_of(request)
        sent = await read_json(request, MessageSubmission)
        found = await self.services.messages.send(who, task_id, sent.text)
        return JsonResponse(task_body(found.task), 202, {"Location": f"/tasks/{found.task.id}"})

    async def list_steps(self, request: Request) -> Response:
        """The task's journal, in the order in which the steps began."""
        steps = await self.services.watch.steps(principal_of(request), task_id_of(request))
        return JsonResponse(listed(step_body(step) for step in steps))

    async def list_children(self, request: Request) -> Response:
        """The tasks that this one delegated, oldest first."""
        children = await self.services.watch.children(principal_of(request), task_id_of(request))
        return JsonResponse(listed(task_body(child) for child in children))

    async def list_questions(self, request: Request) -> Response:
        """The questions that the task waits for."""
        steps = await self.services.watch.steps(principal_of(request), task_id_of(request))
        questions = [
            step for step in steps if step.kind is StepKind.QUESTION and step.status is StepStatus.OPEN
        ]
        return JsonResponse(listed(question_body(step) for step in questions))

    def busy_routes(self) -> Sequence[Route]:
        """The two calls that are made most; they stand first, where routing finds them soonest."""
        task = Answer(description="The task has ended.", model=TaskBody, headers=_LOCATION | _APPLIED)
        stored = Answer(
            description="Stored.", model=TaskBody, headers=_LOCATION | _REPLAYED, leads_to=_OF_TASK
        )
        return [
            Route(
                method="POST",
                path="/agents/{agent_id}/tasks",
                endpoint=self.submit_task,
                needs=Scope.TASKS_WRITE,
                tag="tasks",
                body=TaskSubmission,
                parameters=(queries.IDEMPOTENCY_KEY, queries.PREFER),
                answers={200: task, 202: stored},
                problems=(404, 409, 429, 507),
            ),
            Route(
                method="GET",
                path="/tasks/{task_id}",
                endpoint=self.get_task,
                needs=Scope.TASKS_READ,
                tag="tasks",
                parameters=(queries.PREFER,),
                answers={200: Answer(description="The task.", model=TaskBody, headers=_APPLIED)},
                problems=(404,),
            ),
        ]

    def routes(self) -> Sequence[Route]:
        """The others."""
        return [*self._of_lists(), *self._of_changes(), *self._of_what_is_told(), *self._of_parts()]

    def _of_lists(self) -> Sequence[Route]:
        page = page_of(TaskPage)
        return [
            Route(
                method="GET",
                path="/agents/{agent_id}/tasks",
                endpoint=self.list_tasks_of_agent,
                needs=Scope.TASKS_READ,
                tag="tasks",
                parameters=_LIST_OF_AGENT,
                answers={200: page},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/tasks",
                endpoint=self.list_tasks,
                needs=Scope.TASKS_READ,
                tag="tasks",
                parameters=_LIST,
                answers={200: page},
            ),
        ]

    def _of_changes(self) -> Sequence[Route]:
        return [
            Route(
                method="POST",
                path="/tasks/{task_id}/cancel",
                endpoint=self.cancel_task,
                needs=Scope.TASKS_CANCEL,
                tag="tasks",
                answers={200: Answer(description="How far it has come.", model=CancelBody)},
                problems=(404, 409),
            ),
            Route(
                method="POST",
                path="/tasks/{task_id}/retry",
                endpoint=self.retry_task,
                needs=Scope.TASKS_WRITE,
                tag="tasks",
                body=RetrySubmission,
                body_is_optional=True,
                answers={202: Answer(description="Pending again.", model=TaskBody, headers=_LOCATION)},
                problems=(404, 409, 507),
            ),
        ]

    def _of_what_is_told(self) -> Sequence[Route]:
        return [
            Route(
                method="POST",
                path="/tasks/{task_id}/answers",
                endpoint=self.answer_question,
                needs=Scope.TASKS_WRITE,
                tag="tasks",
                body=AnswerSubmission,
                answers={200: Answer(description="Answered.", model=TaskBody)},
                problems=(404, 409),
            ),
            Route(
                method="POST",
                path="/tasks/{task_id}/messages",
                endpoint=self.send_message,
                needs=Scope.TASKS_WRITE,
                tag="tasks",
                body=MessageSubmission,
                answers={202: Answer(description="The task that has it.", model=TaskBody, headers=_LOCATION)},
                problems=(404, 409, 507),
            ),
        ]

    def _of_parts(self) -> Sequence[Route]:
        return [
            Route(
                method="GET",
                path=f"/tasks/{{task_id}}/{name}",
                endpoint=endpoint,
                needs=Scope.TASKS_READ,
                tag="tasks",
                answers={200: Answer(description="All of them.", model=model)},
                problems=(404,),
            )
            for name, endpoint, model in (
                ("steps", self.list_steps, StepList),
                ("children", self.list_children, TaskList),
                ("questions", self.list_questions, QuestionList),
            )
        ]
