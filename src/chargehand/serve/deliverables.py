"""Deliverables over HTTP: the list with its evidence, single files, and zips.

Rule: what an agent made is sent as an attachment that no browser opens or runs, whatever it says it is.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from chargehand.domain.access import Scope
from chargehand.errors import DeliverableNotFound
from chargehand.serve import archive
from chargehand.serve.auth import principal_of
from chargehand.serve.path_ids import task_id_of
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.answers import deliverable_body, listed
from chargehand.wire.rest import DeliverableList

BYTES_TYPE = "application/octet-stream"
ZIP_TYPE = "application/zip"
_CONFINED = "default-src 'none'; sandbox; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class DeliverableRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def list_deliverables(self, request: Request) -> Response:
        """What the task has delivered, with the evidence of its checks."""
        found = await self.services.watch.deliverables(principal_of(request), task_id_of(request))
        return JsonResponse(listed(deliverable_body(one) for one in found))

    async def get_deliverable(self, request: Request) -> Response:
        """A deliverable: a file's bytes, or a folder as a zip."""
        one = await self.services.watch.deliverable(
            principal_of(request), task_id_of(request), request.path_params["name"]
        )
        if one.is_folder:
            return await self._zip(archive.entries([one], in_folders=False), f"{one.name}.zip")
        content = await self.services.watch.content(one.files[0].sha256)
        return _file(content, one.files[0].path, one.files[0].sha256)

    async def get_deliverable_file(self, request: Request) -> Response:
        """One file of a deliverable."""
        name, path = request.path_params["name"], request.path_params["path"]
        one = await self.services.watch.deliverable(principal_of(request), task_id_of(request), name)
        for file in one.files:
            if file.path == path:
                content = await self.services.watch.content(file.sha256)
                return _file(content, file.path, file.sha256)
        raise DeliverableNotFound(f"deliverable {one.name!r} has no such file; its list names the files")

    async def get_all_deliverables(self, request: Request) -> Response:
        """Everything that the task has delivered, as one zip with a folder for each deliverable."""
        task_id = task_id_of(request)
        found = await self.services.watch.deliverables(principal_of(request), task_id)
        return await self._zip(archive.entries(found, in_folders=True), f"{task_id}.zip")

    async def _zip(self, files: Sequence[tuple[str, str]], file_name: str) -> Response:
        content, size = await archive.build(files, self.services.watch.content)
        return _SentFile(content, size, _download_headers(file_name))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        download = {"Content-Disposition": "`attachment`, with the file's name."}
        return [
            Route(
                method="GET",
                path=path,
                endpoint=endpoint,
                needs=Scope.TASKS_READ,
                tag="deliverables",
                answers={200: answer},
                problems=(404,),
            )
            for path, endpoint, answer in (
                (
                    "/tasks/{task_id}/deliverables",
                    self.list_deliverables,
                    Answer(description="All of them.", model=DeliverableList),
                ),
                (
                    "/tasks/{task_id}/deliverables.zip",
                    self.get_all_deliverables,
                    Answer(description="The zip.", media_types=(ZIP_TYPE,), headers=download),
                ),
                (
                    "/tasks/{task_id}/deliverables/{name}",
                    self.get_deliverable,
                    Answer(description="The bytes.", media_types=(BYTES_TYPE, ZIP_TYPE), headers=download),
                ),
                (
                    "/tasks/{task_id}/deliverables/{name}/files/{path:path}",
                    self.get_deliverable_file,
                    Answer(description="The bytes.", media_types=(BYTES_TYPE,), headers=download),
                ),
            )
        ]


class _SentFile(Response):
    """Sends an open file and closes it."""

    media_type = ZIP_TYPE

    def __init__(self, file: IO[bytes], size_bytes: int, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self.headers["content-length"] = str(size_bytes)
        self._file = file

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        del scope, receive
        async with aclosing(archive.chunks(self._file)) as chunks:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for data in chunks:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _file(content: bytes, path: str, digest: str) -> Response:
    headers = _download_headers(path.rpartition("/")[2]) | {"ETag": f'"{digest}"'}
    return Response(content, media_type=BYTES_TYPE, headers=headers)


def _download_headers(file_name: str) -> dict[str, str]:
    name = quote(file_name, safe="", errors="replace")
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "Content-Security-Policy": _CONFINED,
    }
