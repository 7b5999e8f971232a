"""Agent Skills: folders of the operator's with a SKILL.md, of which a model sees a line and loads the rest on demand.

Rule: only what lies in the operator's folder is a skill. A folder of that name in a workspace is a folder.
"""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, Field

from chargehand.domain.front_matter import load_front_matter
from chargehand.domain.values import plain_text
from chargehand.errors import Finding, InvalidInput, ToolError
from chargehand.tools.base import AfterCrash, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath, parse_path

FILE = "SKILL.md"
MAX_TEXT_BYTES = 256 * 1024
MAX_FILES = 200
MAX_FILES_BYTES = 8 * 1024 * 1024
MAX_DESCRIPTION_CHARACTERS = 1_024
MAX_LISTED_CHARACTERS = 20_000
FOLDER = LogicalPath((SERVICE_FOLDER, "skills"))
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_PARTS = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)(.*)\Z", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One skill. Its text and files are read when it is loaded."""

    name: str
    description: str
    folder: Path

    def body(self) -> str:
        """What SKILL.md says below its front matter."""
        try:
            return _parts(self.folder / FILE)[1].strip()
        except InvalidInput as error:
            raise ToolError(f"the skill {self.name!r} cannot be read any more; tell the operator") from error

    def files(self) -> Iterator[tuple[LogicalPath, bytes]]:
        """Its files by path below its folder. ToolError when a link leads out of it, or it is too large."""
        home = self.folder.resolve()
        count = size = 0
        for place, folders, names in os.walk(home):
            folders.sort()
            for name in [*folders, *sorted(names)]:
                path = Path(place) / name
                if path.is_symlink() and not path.resolve().is_relative_to(home):
                    raise ToolError(
                        f"the skill {self.name!r} was not loaded: {name!r} in it is a link out of it"
                    )
                if path.is_dir() or not path.is_file():
                    continue
                count, size = count + 1, size + path.stat().st_size
                if count > MAX_FILES or size > MAX_FILES_BYTES:
                    most = f"{MAX_FILES} files and {MAX_FILES_BYTES:,} bytes"
                    raise ToolError(f"the skill {self.name!r} was not loaded: it has more than {most}")
                yield parse_path(path.relative_to(home).as_posix()), path.read_bytes()


def find_skills(folder: Path) -> Mapping[str, Skill]:
    """The skills in a folder, by name. InvalidInput names the first that cannot be used."""
    if not folder.is_dir():
        raise InvalidInput(f"CHARGEHAND_SKILLS_DIR: {folder} is not a folder")
    found: dict[str, Skill] = {}
    for place in sorted(folder.iterdir()):
        if not (place / FILE).is_file():
            continue
        skill = _read(place)
        if skill.name in found:
            raise InvalidInput(
                f"two skills are called {skill.name!r}: {found[skill.name].folder} and {place}"
            )
        found[skill.name] = skill
    return found


def _read(folder: Path) -> Skill:
    file = folder / FILE
    if not file.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(f"{file} is a link out of its folder")
    front, _ = _parts(file)
    fields = load_front_matter(front, str(file), 2)
    if isinstance(fields, Finding):
        raise InvalidInput(f"{file}: {fields}")
    name = str(fields.values.get("name") or folder.name).strip()
    description = fields.values.get("description")
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{file}: {name[:100]!r} cannot be a skill's name: letters, digits, '.', '_' and '-'"
        )
    if not isinstance(description, str) or not description.strip():
        raise InvalidInput(f"{file}: `description` is missing; a model decides by it when to load the skill")
    told = plain_text(" ".join(description.split()))[:MAX_DESCRIPTION_CHARACTERS]
    return Skill(name=name, description=told, folder=folder)


def _parts(file: Path) -> tuple[str, str]:
    """Front matter and body."""
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise InvalidInput(f"{file} is larger than {MAX_TEXT_BYTES // 1024} KiB")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as UTF-8 text: {error}") from error
    parts = _PARTS.match(plain_text(text.replace("\r\n", "\n")))
    if parts is None:
        raise InvalidInput(f"{file} lacks front matter between two lines of ---")
    return parts[1], parts[2]


class SkillArguments(ToolArguments):
    skill: str = Field(max_length=200, description="The skill's name, as listed.")
    args: str = Field(default="", max_length=10_000, description="What you want it for.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillTool:
    """Loads a skill for an agent that may use it."""

    skills: Mapping[str, Skill]
    name: str = "Skill"
    description: str = (
        "Load a skill that is listed in your instructions: how to do a kind of work, written by people who do it, with"
        " files to go with it. Load it before you begin such work."
    )
    arguments: type[BaseModel] = field(default=SkillArguments)
    # The workspace gets a copy in the service's own folder; nothing of the work is changed.
    risk: Risk = Risk.READ
    after_crash: AfterCrash = AfterCrash.REPEAT

    def for_names(self, names: Sequence[str]) -> "SkillTool":
        """The tool of an agent that asks for these skills; for one that names none, all."""
        if not names:
            return self
        return replace(self, skills={name: self.skills[name] for name in names if name in self.skills})

    def listing(self) -> str:
        """What the agent's instructions say of its skills; empty without any."""
        lines: list[str] = []
        room = MAX_LISTED_CHARACTERS
        for skill in self.skills.values():
            line = f"- {skill.name}: {skill.description}"
            room -= len(line)
            if room < 0:
                lines.append(f"- and {len(self.skills) - len(lines)} more")
                break
            lines.append(line)
        return "\n".join(["Skills that you can load with the tool Skill:", *lines]) if lines else ""

    async def __call__(self, context: ToolContext, arguments: BaseModel) -> ToolResult:
        if not isinstance(arguments, SkillArguments):
            raise TypeError(f"Skill takes SkillArguments, not {type(arguments).__name__}")
        skill = self.skills.get(arguments.skill.strip())
        if skill is None:
            known = ", ".join(self.skills)[:2_000] or "none"
            raise ToolError(f"you have no skill {arguments.skill[:100]!r}; there are: {known}")
        return await asyncio.to_thread(_loaded, context, skill, arguments.args)


def _loaded(context: ToolContext, skill: Skill, wanted: str) -> ToolResult:
    body = skill.body()
    files = list(skill.files())  # All of them first: a skill that is refused leaves nothing behind.
    home = FOLDER.child(skill.name)
    names: list[str] = []
    for path, data in files:
        context.workspace.write_bytes(LogicalPath((*home.parts, *path.parts)), data)
        names.append(str(path))
    listed = ", ".join(name for name in names if name != FILE)
    parts = [body, f"[The skill's folder is {home}" + (f"; in it: {listed[:4_000]}]" if listed else "]")]
    if wanted.strip():
        parts.append(f"[It was loaded for: {wanted.strip()}]")
    return ToolResult(
        content="\n\n".join(parts), details={"skill": skill.name, "folder": str(home), "files": [*names]}
    )
