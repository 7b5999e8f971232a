"""Which agents can be carried out here, and what input they take: the answer to service/ports.py."""

from dataclasses import dataclass

from chargehand.domain.agent import AgentDefinition, RuntimeKind
from chargehand.domain.values import JsonObject
from chargehand.errors import InvalidDefinition, InvalidInput, RuntimeMissing
from chargehand.models.output_schema import check_schema
from chargehand.runtimes.base import Runtime
from chargehand.runtimes.command import CommandRuntime
from chargehand.runtimes.function import FunctionRuntime
from chargehand.runtimes.model import ModelRuntime
from chargehand.runtimes.playbook import PlaybookRuntime


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The runtimes of this service."""

    playbook: PlaybookRuntime
    function: FunctionRuntime
    command: CommandRuntime
    model: ModelRuntime

    def of(self, definition: AgentDefinition, task_data: JsonObject) -> Runtime:
        """What carries a task of this agent out; RuntimeMissing says what is missing."""
        match definition.runtime:
            case RuntimeKind.PLAYBOOK:
                self.playbook.playbook(definition.block.entry)
                if _is_brief(definition, task_data):
                    return self._model_for_a_brief(definition)
                return self.playbook
            case RuntimeKind.FUNCTION:
                self.function.function(definition.block.entry)
                return self.function
            case RuntimeKind.COMMAND:
                return self.command
            case RuntimeKind.MODEL:
                self.model.require(definition)
                return self.model

    def check_definition(self, definition: AgentDefinition) -> None:
        """A playbook or function that is not registered is refused; a model may be configured later."""
        if definition.block.output_schema is not None:
            try:
                self.check_output_schema(definition, definition.block.output_schema)
            except InvalidInput as error:
                raise InvalidDefinition(f"agent {definition.id!r}: {error.message}") from error
        if definition.runtime is not RuntimeKind.MODEL:
            self.of(definition, {})

    def check_input(self, definition: AgentDefinition, task_data: JsonObject) -> None:
        """What the agent's playbook says of the input; other runtimes take any object."""
        if self.of(definition, task_data) is self.playbook:
            self.playbook.playbook(definition.block.entry).check_input(task_data)

    def check_output_schema(self, definition: AgentDefinition, schema: JsonObject) -> None:
        """A model is held to a schema; what other runtimes return is their code's."""
        if definition.runtime is not RuntimeKind.MODEL and not definition.block.takes_briefs:
            raise InvalidInput(
                f"agent {definition.id!r} is of runtime {definition.runtime.value}; only the answer of an agent"
                " of runtime model can be asked for by output_schema"
            )
        check_schema(schema)

    def _model_for_a_brief(self, definition: AgentDefinition) -> Runtime:
        try:
            self.model.require(definition)
        except RuntimeMissing as missing:
            raise RuntimeMissing(
                f"{missing.message}; without a model it takes what its playbook"
                f" {definition.block.entry!r} works from, not a `prompt`"
            ) from missing
        return self.model


def _is_brief(definition: AgentDefinition, task_data: JsonObject) -> bool:
    return definition.block.takes_briefs and isinstance(task_data.get("prompt"), str)
