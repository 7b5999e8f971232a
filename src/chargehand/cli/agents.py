"""The work of `chargehand agents`."""

from chargehand.cli.connection import connect
from chargehand.cli.event_data import mappings, text
from chargehand.cli.exits import ExitCode, naming
from chargehand.cli.inputs import text_of
from chargehand.cli.lines import one_line, time_text
from chargehand.cli.output import write, write_fields, write_json, write_table
from chargehand.client import AsyncClient
from chargehand.domain.agent import parse_definition
from chargehand.domain.agent_rights import tools_told
from chargehand.errors import Forbidden
from chargehand.wire.agents import AgentBody


async def list_agents(server: str | None, *, as_json: bool) -> ExitCode:
    """Every agent, by id."""
    async with connect(server) as connection:
        found = await connection.client.agents()
    return write_table(
        found,
        ("AGENT", "RUNTIME", "DESCRIPTION"),
        lambda one: (one.id, one.runtime, one.description),
        as_json=as_json,
    )


async def show_agent(agent_id: str, server: str | None, *, source: bool, as_json: bool) -> ExitCode:
    """One agent."""
    async with connect(server) as connection:
        agent = await connection.client.agent(agent_id)
        absent = [] if source or as_json else await _absent_servers(agent, connection.client)
    if source:
        write(agent.source.removesuffix("\n"))
    elif as_json:
        write_json(agent)
    else:
        _write_agent(agent)
        for name in absent:
            write(one_line(f"note: the MCP server {name!r} is not configured; its tools are not there"))
    return ExitCode.OK


async def _absent_servers(agent: AgentBody, client: AsyncClient) -> list[str]:
    """The MCP servers that an agent names and that are not configured, for those who may know."""
    wanted = {one.split("__")[1]: None for one in agent.mcp_tools if one.startswith("mcp__")}
    if not wanted:
        return []
    try:
        configured = {one.name for one in (await client.mcp_tools()).servers}
    except Forbidden:
        return []
    return [name for name in wanted if name not in configured]


def _write_agent(agent: AgentBody) -> None:
    block = agent.chargehand
    write_fields(
        [
            ("agent", agent.id),
            ("name", agent.name if agent.name != agent.id else ""),
            ("description", agent.description),
            ("runtime", agent.runtime),
            ("version", agent.version),
            ("tools", one_line(tools_told(agent.tools, agent.mcp_tools))),
            ("delegates to", ", ".join(block.get("delegates") or [])),
            ("asks for", one_line(", ".join(f"{name} {value}" for name, value in agent.wishes.items()))),
        ]
    )
    for one in agent.findings:
        write(one_line(f"note, line {one.line or 1}: {one.where}: {one.message}"))
    for promise in mappings(block, "deliverables"):
        about = one_line(text(promise, "description"))
        write(f"delivers {text(promise, 'name')} ({text(promise, 'path')}) {about}".rstrip())
        for check in mappings(promise, "checks"):
            write(f"  checked: {one_line(text(check, 'name'))}")


async def put_agent(file: str, agent_id: str | None, server: str | None, *, as_json: bool) -> ExitCode:
    """Register a definition. It is read here first, so that what is wrong is told with the file's lines."""
    source = text_of(file)
    with naming("standard input" if file == "-" else file):
        # Which tools there are is for the service to say.
        definition = parse_definition(source, agent_id=agent_id, origin=file, is_registered=True)
        async with connect(server) as connection:
            published = await connection.client.put_agent(definition.id, source)
    if as_json:
        write_json(published)
    else:
        agent = published.agent
        what = "registered" if published.changed else "unchanged"
        write(f"{agent.id}: {what}, version {agent.version[:12]}, runtime {agent.runtime}")
        write(one_line(f"tools: {tools_told(agent.tools, agent.mcp_tools)}"))
        for one in agent.findings:
            write(one_line(f"note, line {one.line or 1}: {one.where}: {one.message}"))
    return ExitCode.OK


async def list_versions(agent_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """An agent's versions."""
    async with connect(server) as connection:
        found = await connection.client.agent_versions(agent_id)
    return write_table(
        found,
        ("VERSION", "SINCE"),
        lambda one: (one.version, time_text(one.created_at)),
        as_json=as_json,
    )
