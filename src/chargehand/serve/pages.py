"""A page of a list, newest first, and where the next one is."""

from collections.abc import Iterable

from pydantic import BaseModel
from starlette.requests import Request

from chargehand.domain.values import JsonValue
from chargehand.serve.queries import cursor_like
from chargehand.serve.routes import Answer, JsonResponse
from chargehand.wire.answers import Body, listed
from chargehand.wire.rest import TASK_ID_PATTERN

ID_CURSOR = cursor_like(TASK_ID_PATTERN)


def page_of(model: type[BaseModel]) -> Answer:
    """What a route that lists answers."""
    return Answer(description="A page.", model=model, headers={"Link": '`rel="next"`, when there is more.'})


def page_answer(
    request: Request, items: Iterable[Body], next_cursor: str | None, **more: JsonValue
) -> JsonResponse:
    """The items, and the next page as a cursor and as a link; None: there is none."""
    headers: dict[str, str] = {}
    if next_cursor is not None:
        url = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return JsonResponse(listed(items, next_cursor=next_cursor, **more), headers=headers)
