"""The backend developer's playbook: six steps from a specification to a delivered service.

It writes the application itself and hands each specialty to the colleague who owns it; what does not depend on
each other is done at the same time.
"""

from chargehand.crew.work import hand_over, run, specification_of, todo, write_part
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext

STEPS = ["Architecture review", "Environment", "Implementation", "Tests", "Documentation", "Optimisation"]


async def backend_developer(ctx: PlaybookContext) -> JsonValue:
    """Build the service; in a repair round, restore what the failed checks are about."""
    if ctx.round > 0:
        return await _repair(ctx)
    await _review(ctx)
    await _environment(ctx)
    await _implement(ctx)
    await _prove(ctx)
    await _optimise(ctx)
    return _delivered(ctx)


def is_code(path: str) -> bool:
    """The package itself; the rest is what it needs around it: dependencies, settings, how to start."""
    return path.startswith("src/")


async def _review(ctx: PlaybookContext) -> None:
    await todo(ctx, STEPS, 0)
    await ctx.must_delegate(hand_over(ctx, "system-architect"))


async def _environment(ctx: PlaybookContext) -> None:
    await todo(ctx, STEPS, 1)
    await write_part(ctx, "service", of=lambda path: not is_code(path))
    await write_part(ctx, "workbench")
    await run(ctx, "python --version && python -c 'import fastapi, sqlalchemy, alembic, uvicorn, pytest'")


async def _implement(ctx: PlaybookContext) -> None:
    """The schema, the application and the deployment do not need each other to be written."""
    await todo(ctx, STEPS, 2)

    async def colleagues(branch: PlaybookContext) -> None:
        await branch.must_delegate(
            hand_over(branch, "database-designer"), hand_over(branch, "deployment-specialist")
        )

    async def application(branch: PlaybookContext) -> None:
        await write_part(branch, "service", of=is_code)

    await ctx.together(colleagues, application)
    await run(ctx, "ruff check --no-cache src")


async def _prove(ctx: PlaybookContext) -> None:
    """Tests, documentation and audit each start the service for themselves."""
    await todo(ctx, STEPS, 3)
    await ctx.must_delegate(hand_over(ctx, "test-automator"), hand_over(ctx, "api-documenter"))
    await todo(ctx, STEPS, 4)
    await ctx.must_delegate(hand_over(ctx, "security-auditor"))


async def _optimise(ctx: PlaybookContext) -> None:
    """Alone, so that nothing else disturbs what is measured."""
    await todo(ctx, STEPS, 5)
    await ctx.must_delegate(hand_over(ctx, "performance-optimizer"))
    await todo(ctx, STEPS, len(STEPS))


async def _repair(ctx: PlaybookContext) -> JsonValue:
    """Write the own parts anew and have the tests proven again; the evidence says what to look at."""
    for failure in ctx.failures:
        await ctx.report(f"mending: {failure.check}", output=failure.output[-500:])
    await write_part(ctx, "service")
    await ctx.must_delegate(hand_over(ctx, "database-designer"))
    await ctx.must_delegate(hand_over(ctx, "test-automator"))
    return _delivered(ctx)


def _delivered(ctx: PlaybookContext) -> JsonValue:
    spec = specification_of(ctx)
    return {
        "service": spec.name,
        "title": spec.title,
        "resources": [resource.name for resource in spec.resources],
        "start_here": "README.md",
    }
