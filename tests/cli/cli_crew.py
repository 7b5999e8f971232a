"""Playbooks that the command line's tests have carried out; the service under test imports this file."""

from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation


async def greet(ctx: PlaybookContext) -> JsonValue:
    """One file, checked."""
    await ctx.report("thinking of words")
    # A tree of tasks works in one folder: two greeters must not write the same file.
    name = str(ctx.data.get("name", "you"))
    await ctx.must("Write", file_path=f"greetings/{name}.txt", content=f"Hello {name}!\n")
    return {"said": f"Hello {name}!"}


async def lead(ctx: PlaybookContext) -> JsonValue:
    """Two colleagues at once, then a folder of its own."""
    orders = [Delegation(agent_id="greeter", task_data={"name": name}, labels={}) for name in ("Ada", "Bob")]
    said = await ctx.must_delegate(*orders)
    for number, one in enumerate(said):
        await ctx.must("Write", file_path=f"book/page-{number}.txt", content=f"{one}\n")
    await ctx.must("Write", file_path="book/deeper/last.txt", content="the end\n")
    return len(said)


async def ask(ctx: PlaybookContext) -> JsonValue:
    """A question with two answers."""
    return {"color": await ctx.ask("Which color?", choices=["red", "blue"])}


async def wait(ctx: PlaybookContext) -> JsonValue:
    """A wait that no test sits out."""
    await ctx.sleep(3600)
    return None


async def fail(ctx: PlaybookContext) -> JsonValue:
    """What is promised is not written; its check says so."""
    await ctx.must("Write", file_path="answer.txt", content="41\n")
    return None


async def write(ctx: PlaybookContext) -> JsonValue:
    """A call that the policy of a test may ask about."""
    done = await ctx.tool("Write", file_path="note.txt", content="a note\n")
    return {"written": not done.is_error, "told": done.content}


async def stumble(ctx: PlaybookContext) -> JsonValue:
    """A call that fails, and one that a policy denies; neither is the end of it."""
    await ctx.tool("Read", file_path="nowhere.txt")
    await ctx.tool("Write", file_path="note.txt", content="a note\n")
    return None


async def jot(ctx: PlaybookContext) -> JsonValue:
    """Two calls that go well."""
    for number in range(2):
        await ctx.must("Glob", pattern=f"{number}.txt")
    return None
