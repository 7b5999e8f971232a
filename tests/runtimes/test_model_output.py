"""Results by JSON schema: taken, repaired, given up; what is refused as a schema; a restart in between."""

from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.history import EventKind
from chargehand.domain.task import Status
from chargehand.errors import ChargehandError, IdempotencyMismatch, InvalidDefinition, InvalidInput
from chargehand.models.output_schema import check_schema, errors_of
from chargehand.testkit.server import scripted_models
from tests import given
from tests.given import ME
from tests.runtimes.test_model import BASE_PATHS, DEFINITION, MODELS, WRITE, a_modelled_core

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "pages": {"type": "integer", "minimum": 1}},
    "required": ["title", "pages"],
    "additionalProperties": False,
}
GOOD = {"title": "A book", "pages": 3}


def handing_in(result: dict[str, Any]) -> dict[str, Any]:
    return {"calls": [{"name": "submit_result", "arguments": result}]}


@pytest.mark.parametrize("provider", MODELS)
async def test_a_result_that_fits_is_the_tasks_result(tmp_path: Path, provider: str) -> None:
    turns = [{"calls": [WRITE]}, handing_in(GOOD)]
    async with a_modelled_core(tmp_path, turns, provider=provider) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=SCHEMA)

        assert (await given.ended(core, task)).result == GOOD
        assert len(models.log) == 2
        assert given.rows(core, "SELECT name FROM task_steps WHERE kind = 'tool'") == [("Write",)]


async def test_what_does_not_fit_is_told_and_mended(tmp_path: Path) -> None:
    other = {"name": "Write", "arguments": {"file_path": "b.txt", "content": "b"}}
    both = {"calls": [other, {"name": "submit_result", "arguments": {"title": "A book", "pages": "three"}}]}
    bad_json = {**handing_in(GOOD), "fault": {"bad_json_arguments": True}}
    turns = [both, {"text": "It has three pages."}, bad_json, handing_in(GOOD)]
    async with a_modelled_core(tmp_path, turns) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=SCHEMA)

        ended = await given.ended(core, task)
        assert ended.result == GOOD
        assert (core.settings.workspaces_dir / ended.id / "b.txt").read_text("utf-8") == "b"


async def test_what_never_fits_fails_the_task_after_three_repairs(tmp_path: Path) -> None:
    turns = [handing_in({"title": "A book", "pages": 0})] * 5
    async with a_modelled_core(tmp_path, turns) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=SCHEMA)

        ended = await given.ended(core, task)
        assert (ended.status, ended.reason) == (Status.FAILED, "output_invalid")
        assert ended.error is not None
        assert "pages: 0 is less than the minimum of 1" in str(ended.error["message"])
        assert len(models.log) == 4


async def test_a_schema_that_is_no_object_is_wrapped_and_its_references_still_lead_somewhere(
    tmp_path: Path,
) -> None:
    schema = {
        "type": "array",
        "items": {"$ref": "#/$defs/page"},
        "$defs": {"page": {"type": "object", "required": ["n"]}},
    }
    turns = [handing_in({"result": [{}]}), handing_in({"result": [{"n": 1}]})]
    async with a_modelled_core(tmp_path, turns) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=schema)

        assert (await given.ended(core, task)).result == [{"n": 1}]
        assert len(models.log) == 2


async def test_a_definition_may_ask_for_a_schema_and_a_task_for_another(tmp_path: Path) -> None:
    definition = DEFINITION.replace(
        "---\nYou write", "chargehand:\n  output_schema: {type: object, required: [title]}\n---\nYou write"
    )
    script = [
        {"match": {"prompt_contains": "One."}, "turns": [handing_in({"title": "A"})]},
        {"match": {"prompt_contains": "Two."}, "turns": [handing_in(GOOD)]},
    ]
    async with a_modelled_core(tmp_path, script, definition=definition) as (core, _):
        one = await given.a_task(core, "writer", {"prompt": "One."})
        two = await given.a_task(core, "writer", {"prompt": "Two."}, output_schema=SCHEMA)

        assert (await given.ended(core, one)).result == {"title": "A"}
        assert (await given.ended(core, two)).result == GOOD
        with pytest.raises(InvalidDefinition, match="no JSON schema"):
            await core.agents.publish(ME, definition.replace("type: object", "type: objekt"))


async def test_a_restart_between_an_answer_and_its_repair_pays_for_neither_twice(tmp_path: Path) -> None:
    slow = {**handing_in(GOOD), "delay_seconds": 0.5}
    async with scripted_models([{"turns": [handing_in({"title": "A"}), slow]}]) as models:
        options: dict[str, Any] = {
            "model": MODELS["anthropic"],
            "model_urls": {"anthropic": models.url + BASE_PATHS["anthropic"]},
            "shutdown_grace_seconds": 0,
        }
        async with given.a_core(tmp_path, **options) as core:
            await core.agents.publish(ME, DEFINITION)
            task = await given.a_task(core, "writer", {"prompt": "Go."}, output_schema=SCHEMA)
            await given.event(core, task, EventKind.STEP_FINISHED)
        async with given.a_core(tmp_path, **options) as core:
            ended = await given.ended(core, task)

        assert ended.result == GOOD
        assert [one.turn for one in models.log if one.ended == "answered"] == [0, 1]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "no JSON schema"),
        ({"$ref": "https://example.org/s.json"}, "only its own parts"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "only its own parts"),
        ({"$ref": "#/$defs/none"}, "no JSON schema"),
        ({"$schema": "https://example.org/meta"}, "no JSON schema"),
        ({"type": "string", "pattern": "(?=a)b"}, "no JSON schema"),
        ({"description": "x" * 40_000}, "32,768 are the most"),
        ({"allOf": [{"$ref": "#"}]}, "refers to itself"),
        (
            {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
             | {"d30": {}}, "$ref": "#/$defs/d0"},
            "multiply",
        ),
    ],
)  # fmt: skip
def test_what_answers_cannot_be_held_against_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_schema(schema)

    assert said in refused.value.message


def test_a_schema_nested_too_deep_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(30):
        schema = {"properties": {"a": schema}}

    with pytest.raises(ChargehandError, match="deeper"):
        check_schema(schema)


def test_a_tree_may_refer_to_itself_below() -> None:
    tree: dict[str, Any] = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
    }

    check_schema(tree)
    assert errors_of(tree, {"children": [{"children": []}]}) == []
    assert errors_of(tree, {"children": [{"children": 1}]}) == [
        'children/0/children: 1 is not of type "array"'
    ]


async def test_a_bad_schema_is_refused_at_submission_and_the_schema_belongs_to_the_payload(
    tmp_path: Path,
) -> None:
    async with a_modelled_core(tmp_path, [handing_in(GOOD)]) as (core, _):
        with pytest.raises(InvalidInput, match="no JSON schema"):
            await given.a_task(core, "writer", {}, output_schema={"type": "objekt"})
        await given.an_agent(core, "shell", command=["true"])
        with pytest.raises(InvalidInput, match="runtime command"):
            await given.a_task(core, "shell", {}, output_schema=SCHEMA)

        await given.a_task(core, "writer", {}, output_schema=SCHEMA, idempotency_key="k")
        with pytest.raises(IdempotencyMismatch):
            await given.a_task(core, "writer", {}, idempotency_key="k")
