"""The part `docs`: every operation of the running service is called, and what came back is what is documented."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chargehand.crew.specification import ServiceSpecification
from tests.crew.languages import powershell_errors
from tests.crew.projects import RUNNING, bookstore, run, tiny, tool_shed, write

_BASH = shutil.which("bash") or ""
PARTS = (*RUNNING, "docs")


@pytest.fixture(scope="module", params=[bookstore, tool_shed], ids=["bookstore", "tool-shed"])
def documented(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec: ServiceSpecification = request.param()
    project = write(spec, tmp_path_factory.mktemp(spec.name), *PARTS)
    done = run(project, "docs/record_examples.py")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(tiny(), tmp_path, *PARTS)


def examples_of(project: Path) -> list[dict[str, Any]]:
    return json.loads((project / "docs/examples.json").read_text(encoding="utf-8"))


def worked(project: Path) -> list[dict[str, Any]]:
    return [each for each in examples_of(project) if each["response"]["status"] < 300]


def test_every_operation_has_an_example_that_worked_in_the_page(documented: Path) -> None:
    document = json.loads((documented / "docs/openapi.json").read_text(encoding="utf-8"))
    page = (documented / "docs/api.md").read_text(encoding="utf-8")
    operations = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}

    assert {each["operation"] for each in worked(documented)} == operations
    for operation in operations:
        assert f"### {operation}\n" in page
    assert page.count("```bash") == page.count("```powershell") >= len(operations)


def test_the_powershell_examples_parse(documented: Path) -> None:
    page = (documented / "docs/api.md").read_text(encoding="utf-8")
    examples = re.findall(r"```powershell\n(.*?)```", page, re.DOTALL)

    broken = [example for example in examples if powershell_errors(example.encode())]

    assert broken == []


@pytest.mark.skipif(not _BASH, reason="bash is not installed")
def test_the_bash_examples_are_understood_by_bash(documented: Path) -> None:
    page = (documented / "docs/api.md").read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL))
    # In place of curl: what bash makes of its arguments, the body last.
    program = "curl() { printf '%s\\0' \"${@: -1}\"; }\n" + examples

    done = subprocess.run([_BASH, "-c", program], capture_output=True, check=True, timeout=60)

    bodies = [json.dumps(each["request"]["body"]) for each in worked(documented) if each["request"]["body"]]
    assert set(bodies) <= set(done.stdout.decode().split("\0"))


def test_refusals_are_shown_beside_what_works(documented: Path) -> None:
    statuses = {each["response"]["status"] for each in examples_of(documented)}

    assert {401, 403, 404, 409, 422} <= statuses


def test_no_secret_and_no_measured_id_is_written_down(documented: Path) -> None:
    text = (documented / "docs/examples.json").read_text(encoding="utf-8")

    assert "eyJ" not in text
    assert "127.0.0.1:" not in text
    assert "018f0000-0000-7000-8000-000000000001" in text


def test_recording_again_gives_the_same_documents(small: Path) -> None:
    first = run(small, "docs/record_examples.py")
    texts = [(small / "docs" / name).read_text(encoding="utf-8") for name in ("api.md", "examples.json")]

    again = run(small, "docs/record_examples.py", "--check")

    assert first.returncode == 0, first.stderr
    assert again.returncode == 0, again.stderr
    assert texts == [
        (small / "docs" / name).read_text(encoding="utf-8") for name in ("api.md", "examples.json")
    ]


def test_an_answer_that_contradicts_the_openapi_document_is_a_fault(small: Path) -> None:
    errors = small / "src/jot/errors.py"
    text = errors.read_text(encoding="utf-8")
    assert "media_type=PROBLEM_MEDIA_TYPE" in text
    errors.write_text(
        text.replace("media_type=PROBLEM_MEDIA_TYPE", 'media_type="application/json"'), encoding="utf-8"
    )

    done = run(small, "docs/record_examples.py", "--check")

    assert done.returncode == 1
    assert "its body is application/json, documented is application/problem+json" in done.stderr
    assert "docs/api.md is out of date" in done.stderr
    assert not (small / "docs/api.md").exists()


def test_a_service_that_does_not_start_is_told_with_what_it_said(small: Path) -> None:
    (small / "src/jot/main.py").write_text("raise RuntimeError('no service today')\n", encoding="utf-8")

    done = run(small, "docs/record_examples.py")

    assert done.returncode == 1
    assert "no service today" in done.stderr
