"""Deliverables: listed with their evidence, fetched file by file, zipped safely and alike each time."""

import io
import zipfile
from datetime import UTC, datetime

import httpx2
import pytest

from chargehand.domain.deliverable import Deliverable, DeliveredFile
from chargehand.serve.archive import entries, safe_name
from tests.api.service import Service
from tests.api.test_tasks import submitted

pytestmark = pytest.mark.usefixtures("database")

FOLDER = {"app/main.py": b"print()\n", "README.md": b"# Read\n" * 1000, "b\u00fc/\u540d.txt": b""}


async def delivered(service: Service, client: httpx2.AsyncClient) -> str:
    task_id = await submitted(client)
    task = await service.worker.claim()
    await service.worker.deliver(task, "service", FOLDER, is_folder=True)
    await service.worker.deliver(task, "report", {"re port.html": b"<script>"}, is_folder=False)
    await service.worker.finish(task)
    return task_id


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_deliverables_are_listed_with_files_and_evidence(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await delivered(service, client)

    listed = (await client.get(f"/tasks/{task_id}/deliverables")).json()["items"]

    assert [one["name"] for one in listed] == ["report", "service"]
    assert {file["path"]: file["size_bytes"] for file in listed[1]["files"]} == {
        path: len(content) for path, content in FOLDER.items()
    }
    assert listed[0]["evidence"][0]["passed"] is True


async def test_a_file_is_an_attachment_that_no_browser_opens(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await delivered(service, client)

    answer = await client.get(f"/tasks/{task_id}/deliverables/report")

    assert answer.content == b"<script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''re%20port.html"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_each_file_of_a_folder_can_be_fetched(service: Service, client: httpx2.AsyncClient) -> None:
    task_id = await delivered(service, client)

    for path, content in FOLDER.items():
        answer = await client.get(f"/tasks/{task_id}/deliverables/service/files/{path}")
        assert answer.content == content


async def test_a_folder_is_a_zip_with_the_same_bytes_each_time(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await delivered(service, client)

    first = await client.get(f"/tasks/{task_id}/deliverables/service")
    second = await client.get(f"/tasks/{task_id}/deliverables/service")

    assert first.headers["content-type"] == "application/zip"
    assert unzipped(first.content) == FOLDER
    assert first.content == second.content
    assert int(first.headers["content-length"]) == len(first.content)


async def test_everything_comes_in_one_zip_with_a_folder_for_each(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await delivered(service, client)

    answer = await client.get(f"/tasks/{task_id}/deliverables.zip")

    assert unzipped(answer.content) == {
        **{f"service/{path}": content for path, content in FOLDER.items()},
        "report/re port.html": b"<script>",
    }


async def test_a_task_that_has_delivered_nothing_gives_an_empty_zip(client: httpx2.AsyncClient) -> None:
    task_id = await submitted(client)

    answer = await client.get(f"/tasks/{task_id}/deliverables.zip")

    assert unzipped(answer.content) == {}


@pytest.mark.parametrize(
    "path",
    [
        "deliverables/nothing",
        "deliverables/%00",
        "deliverables/service/files/nothing",
        "deliverables/service/files/../../../etc/passwd",
        "deliverables/service/files/%2e%2e/%2e%2e/etc/passwd",
        "deliverables/service/files//etc/passwd",
        "deliverables/" + "a" * 4000,
    ],
)
async def test_what_was_not_delivered_is_not_found(
    service: Service, client: httpx2.AsyncClient, path: str
) -> None:
    task_id = await delivered(service, client)

    assert (await client.get(f"/tasks/{task_id}/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("a/b.txt", "a/b.txt"),
        ("../x", "_/x"),
        ("/etc/passwd", "_/etc/passwd"),
        ("a//b", "a/_/b"),
        ("./a", "_/a"),
        ("C:\\x", "C__x"),
        ("a:stream", "a_stream"),
        ("a\x00\x1b[0m", "a__[0m"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("", "_"),
    ],
)
def test_a_name_in_a_zip_cannot_lead_outside(path: str, safe: str) -> None:
    assert safe_name(path) == safe


def test_names_that_become_alike_keep_their_contents_apart() -> None:
    files = tuple(DeliveredFile(path=path, sha256=path, size_bytes=1) for path in ("a:b", "a?b", "a_b"))
    one = Deliverable(
        task_id="t",
        name="n",
        path="n",
        is_folder=True,
        sha256="",
        size_bytes=3,
        files=files,
        evidence=(),
        stored_at=datetime.now(UTC),
    )

    found = entries([one], in_folders=False)

    assert len({name for name, _ in found}) == 3
    assert {digest for _, digest in found} == {"a:b", "a?b", "a_b"}
