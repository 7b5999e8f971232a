"""The playbooks of the colleagues to whom the backend developer hands work.

Each writes its part of the project, runs what must be measured in the sandbox, and says in a sentence what it
did; the checks of its definition decide whether that is accepted.
"""

from pydantic import BaseModel

from chargehand.crew.work import run, specification_of, write_part
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext


class Coverage(BaseModel):
    """What coverage.py measured of the generated code."""

    percent: float
    statements: int
    branches: int
    missing: int
    files: list[tuple[str, float]]
    """(path, percent covered)."""


async def system_architect(ctx: PlaybookContext) -> JsonValue:
    """Review the specification; record architecture, decisions and risks beside it."""
    spec = specification_of(ctx)
    await ctx.must("Write", file_path="specification.yaml", content=str(ctx.data["specification"]))
    await write_part(ctx, "architecture")
    return {"resources": [resource.name for resource in spec.resources], "document": "docs/architecture.md"}


async def database_designer(ctx: PlaybookContext) -> JsonValue:
    """Write tables, constraints, indexes and the first migration; prove that they agree; draw them."""
    files = await write_part(ctx, "database")
    await write_part(ctx, "diagram")
    return {"files": len(files), "document": "docs/data-model.md"}


async def test_automator(ctx: PlaybookContext) -> JsonValue:
    """Write the tests, run them, and report what they cover."""
    files = await write_part(ctx, "tests")
    tested = f"python -m pytest -q -p no:cacheprovider --cov --cov-report=json:{_REPORT}"
    report = await run(ctx, f"{tested} && python -c {_SUMMARY!r} {_REPORT}", seconds=300)
    measured = Coverage.model_validate_json(report.content.strip().splitlines()[-1])
    await ctx.must("Write", file_path="docs/testing.md", content=_testing(ctx, len(files), measured))
    return {"files": len(files), "coverage_percent": measured.percent, "document": "docs/testing.md"}


async def api_documenter(ctx: PlaybookContext) -> JsonValue:
    """Perform every call against the running service and document what really came back."""
    await write_part(ctx, "docs")
    await run(ctx, "python docs/record_examples.py", seconds=180)
    return {"document": "docs/api.md", "openapi": "docs/openapi.json"}


async def security_auditor(ctx: PlaybookContext) -> JsonValue:
    """Probe the running service's defences and report."""
    await write_part(ctx, "security")
    await run(ctx, "python security/audit.py", seconds=180)
    return {"document": "docs/security.md"}


async def performance_optimizer(ctx: PlaybookContext) -> JsonValue:
    """Measure the named operations against their targets and report."""
    await write_part(ctx, "benchmarks")
    await run(ctx, "python benchmarks/run.py --quick", seconds=240)
    return {"document": "benchmarks/report.md", "results": "benchmarks/results.json"}


async def deployment_specialist(ctx: PlaybookContext) -> JsonValue:
    """Write what operators on Windows and Linux type."""
    files = await write_part(ctx, "deployment")
    return {"files": len(files), "document": "deploy/README.md"}


_REPORT = '"$TMPDIR/coverage.json"'
_SUMMARY = (
    "import json,sys; r=json.load(open(sys.argv[1])); t=r['totals'];"
    " print(json.dumps({'percent': round(t['percent_covered'],1), 'statements': t['num_statements'],"
    " 'branches': t.get('num_branches',0), 'missing': t['missing_lines'],"
    " 'files': [[n.replace(chr(92),'/'), round(f['summary']['percent_covered'],1)]"
    " for n,f in sorted(r['files'].items())]}))"
)


def _testing(ctx: PlaybookContext, test_files: int, measured: Coverage) -> str:
    spec = specification_of(ctx)
    rows = "\n".join(f"| {name} | {percent} % |" for name, percent in measured.files)
    return f"""# {spec.title}: tests

{test_files} files under `tests/` show the service's behaviour through its HTTP interface, against a real database
file for each test. They are run with

    python -m pytest --cov

## Coverage

Measured when this project was delivered: **{measured.percent} %** of {measured.statements} statements and
{measured.branches} branches; {measured.missing} statements were not reached.

| file | covered |
| --- | --- |
{rows}
"""
