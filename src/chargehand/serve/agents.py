"""Agents over HTTP: list, read, publish a definition, versions; and who the caller is."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.serve.auth import principal_of
from chargehand.serve.body import MARKDOWN_TYPE, content_type, read_json, read_text
from chargehand.serve.path_ids import agent_id_of, agent_version_of
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.agents import AgentBody, AgentList, AgentPublished, AgentSource, AgentVersionList
from chargehand.wire.answers import agent_body, agent_summary, listed, versions_body, whoami_body
from chargehand.wire.rest import WhoAmI

_OF_AGENT: dict[str, tuple[str, str]] = dict.fromkeys(
    ("get_agent", "list_agent_versions", "list_tasks_of_agent"), ("agent_id", "/items/0/id")
)


@dataclass(frozen=True, slots=True)
class AgentRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def list_agents(self, request: Request) -> Response:
        """Every agent's current version, by id."""
        agents = await self.services.agents.all(principal_of(request))
        return JsonResponse(listed(agent_summary(agent) for agent in agents))

    async def get_agent(self, request: Request) -> Response:
        """An agent's current version, with the text of its definition."""
        agent = await self.services.agents.get(principal_of(request), agent_id_of(request))
        return JsonResponse(agent_body(agent))

    async def put_agent(self, request: Request) -> Response:
        """Register a definition as the agent's current version; running tasks keep theirs.

        Send the Markdown file itself as text/markdown, or its text as JSON.
        """
        who, agent_id = principal_of(request), agent_id_of(request)
        if content_type(request) == MARKDOWN_TYPE:
            source = await read_text(request)
        else:
            source = (await read_json(request, AgentSource)).source
        definition, changed = await self.services.agents.publish(who, source, agent_id=agent_id)
        return JsonResponse({"changed": changed, "agent": agent_body(definition)})

    async def list_agent_versions(self, request: Request) -> Response:
        """An agent's versions, newest first."""
        versions = await self.services.agents.versions(principal_of(request), agent_id_of(request))
        return JsonResponse(versions_body(versions))

    async def get_agent_version(self, request: Request) -> Response:
        """One version of an agent."""
        agent_id, version = agent_id_of(request), agent_version_of(request)
        agent = await self.services.agents.get(principal_of(request), agent_id, version)
        return JsonResponse(agent_body(agent))

    async def who_am_i(self, request: Request) -> Response:
        """The key that was sent: who holds it and what it may do."""
        return JsonResponse(whoami_body(principal_of(request)))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        return [
            Route(
                method="GET",
                path="/agents",
                endpoint=self.list_agents,
                needs=Scope.AGENTS_READ,
                tag="agents",
                answers={200: Answer(description="All of them.", model=AgentList, leads_to=_OF_AGENT)},
            ),
            Route(
                method="GET",
                path="/agents/{agent_id}",
                endpoint=self.get_agent,
                needs=Scope.AGENTS_READ,
                tag="agents",
                answers={200: Answer(description="The agent.", model=AgentBody)},
                problems=(404,),
            ),
            Route(
                method="PUT",
                path="/agents/{agent_id}",
                endpoint=self.put_agent,
                needs=Scope.AGENTS_WRITE,
                tag="agents",
                body=AgentSource,
                body_text_type=MARKDOWN_TYPE,
                answers={200: Answer(description="Registered.", model=AgentPublished)},
                problems=(404, 409, 507),
            ),
            Route(
                method="GET",
                path="/agents/{agent_id}/versions",
                endpoint=self.list_agent_versions,
                needs=Scope.AGENTS_READ,
                tag="agents",
                answers={200: Answer(description="All of them.", model=AgentVersionList)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/agents/{agent_id}/versions/{version}",
                endpoint=self.get_agent_version,
                needs=Scope.AGENTS_READ,
                tag="agents",
                answers={200: Answer(description="The version.", model=AgentBody)},
                problems=(404,),
            ),
            Route(
                method="GET",
                path="/whoami",
                endpoint=self.who_am_i,
                needs=None,
                tag="access",
                answers={200: Answer(description="The caller.", model=WhoAmI)},
            ),
        ]
