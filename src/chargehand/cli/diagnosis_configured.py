"""What the operator has configured, as `chargehand doctor` looks at it: models and their keys, MCP servers, the
policy, skills, tools of one's own, issuers, and what browsers may do.

Rule: each is read by what reads it in the service, so that what is told is what would happen. No request is made,
no program is started, and no key is shown.
"""

import importlib.util
import os
from collections.abc import Callable, Iterable

from chargehand.app.options import master_keys
from chargehand.app.policy import policy_of
from chargehand.app.toolbox import open_toolbox
from chargehand.cli.found import Found
from chargehand.errors import ChargehandError
from chargehand.models.choice import ModelChoice, ModelName, parsed
from chargehand.serve.exposure import refuse_unsafe
from chargehand.service.issuer_file import read_issuer_file
from chargehand.settings import Settings
from chargehand.tools.mcp_file import HttpServer, McpServer, read_mcp_file
from chargehand.tools.skills import find_skills


def configured(settings: Settings) -> list[Found]:
    """One line for each, in a fixed order."""
    looks: tuple[tuple[str, Callable[[Settings], Found]], ...] = (
        ("model", _model),
        ("fallbacks", _fallbacks),
        ("aliases", _aliases),
        ("mcp file", _mcp_file),
        ("policy file", _policy_file),
        ("skills", _skills),
        ("tools", _tools),
        ("issuers", _issuers),
        ("browsers", _browsers),
        ("master key", _master_key),
    )
    return [_looked(name, look, settings) for name, look in looks]


def _looked(name: str, look: Callable[[Settings], Found], settings: Settings) -> Found:
    try:
        return look(settings)
    except ChargehandError as error:
        # The message of a file's error may name the first of its findings.
        more = [told for finding in error.findings if (told := str(finding)) not in error.message]
        return Found(name=name, state="fail", message="; ".join([error.message, *more]))
    except OSError as error:
        return Found(name=name, state="fail", message=str(error))


def _model(settings: Settings) -> Found:
    if settings.model is None:
        message = "none is configured: agents that a model runs cannot work"
        return Found(name="model", state="ok", message=message)
    return _models("model", "CHARGEHAND_MODEL", [settings.model], settings)


def _fallbacks(settings: Settings) -> Found:
    # As `ModelChoice.in_order` reads them: a fallback may be an alias.
    named = [settings.model_aliases.get(one, one) for one in settings.model_fallbacks]
    return _models("fallbacks", "CHARGEHAND_MODEL_FALLBACKS", named, settings)


def _aliases(settings: Settings) -> Found:
    return _models("aliases", "CHARGEHAND_MODEL_ALIASES", settings.model_aliases.values(), settings)


def _models(name: str, variable: str, named: Iterable[str], settings: Settings) -> Found:
    """Whether each is a model of a known provider whose key is there."""
    choice = ModelChoice(
        default=settings.model,
        aliases=settings.model_aliases,
        base_urls=settings.model_urls,
        environment=os.environ,
        is_by_tenant=settings.model_keys == "tenants",
    )
    usable: list[str] = []
    wrong: list[str] = []
    for text in dict.fromkeys(named):
        try:
            usable.append(_with_key(choice, parsed(text)))
        except ChargehandError as error:
            wrong.append(f"{text}: {error.message}")
    if wrong:
        way_out = f"correct {variable}, or set what is missing"
        return Found(name=name, state="fail", message="; ".join(wrong), way_out=way_out)
    return Found(name=name, state="ok", message=", ".join(usable) or f"none ({variable} is not set)")


def _with_key(choice: ModelChoice, model: ModelName) -> str:
    choice.require_key(model.provider)
    url = choice.base_url(model.provider)
    return f"{model} at {url}" if url else f"{model}, with a key"


def _mcp_file(settings: Settings) -> Found:
    servers = read_mcp_file(settings.mcp_file)
    if not servers:
        return Found(name="mcp file", state="ok", message="no server is configured (CHARGEHAND_MCP_FILE)")
    if importlib.util.find_spec("mcp") is None:
        message = f"{settings.mcp_file} names servers, and the package that talks to them is missing"
        return Found(name="mcp file", state="fail", message=message, way_out='install "chargehand[mcp]"')
    missing = [error for server in servers.values() if (error := _missing_variable(server))]
    if missing:
        way_out = "set it in the service's environment"
        return Found(name="mcp file", state="fail", message="; ".join(missing), way_out=way_out)
    kinds = [
        f"{one.name} ({'http' if isinstance(one, HttpServer) else 'program'})" for one in servers.values()
    ]
    message = f"{settings.mcp_file}: {', '.join(kinds)}"
    # Which there are stands in the database, encrypted; the service says what is missing.
    if needed := sorted({name for one in servers.values() for name in one.needed_secrets()}):
        message += (
            f"; not looked at here: the secrets {', '.join(needed)} (`chargehand mcp list` tells which lack)"
        )
    return Found(name="mcp file", state="ok", message=message)


def _missing_variable(server: McpServer) -> str:
    try:
        _ = server.all_headers() if isinstance(server, HttpServer) else server.environment()
    except ChargehandError as error:
        return error.message
    return ""


def _master_key(settings: Settings) -> Found:
    """Whether the keys can be read; whether the rows need others, a start says."""
    sources = master_keys(settings)
    named, own = sources.configured(), sources.own()
    first = (named or own)[:1]
    message = f"{first[0].id}, {len(named) + len(own)} in all" if first else "made at the first start"
    if not named and settings.database_url is not None:
        message = "none is named: the service runs, and stores no secrets (CHARGEHAND_MASTER_KEY_FILE)"
    return Found(name="master key", state="ok", message=message)


def _policy_file(settings: Settings) -> Found:
    rules = policy_of(settings).rules
    message = "no rules (CHARGEHAND_POLICY_FILE is not set)"
    if settings.policy_file is not None:
        message = f"{settings.policy_file}: {len(rules)} rule(s)"
    is_empty = settings.policy_file is not None and not rules
    return Found(name="policy file", state="warn" if is_empty else "ok", message=message)


def _skills(settings: Settings) -> Found:
    if settings.skills_dir is None:
        return Found(name="skills", state="ok", message="none (CHARGEHAND_SKILLS_DIR is not set)")
    found = find_skills(settings.skills_dir)
    if not found:
        message = f"{settings.skills_dir} has no folder with a SKILL.md"
        return Found(name="skills", state="warn", message=message)
    return Found(name="skills", state="ok", message=f"{settings.skills_dir}: {', '.join(found)}")


def _issuers(settings: Settings) -> Found:
    issuers = read_issuer_file(settings.issuers_file)
    told = ", ".join(f"{one.name} ({one.url}, {one.algorithm})" for one in issuers)
    return Found(name="issuers", state="ok", message=told or "none (CHARGEHAND_ISSUERS_FILE is not set)")


def _browsers(settings: Settings) -> Found:
    refuse_unsafe(settings)
    pages = (
        f"pages of {', '.join(settings.cors_origins)} may call"
        if settings.cors_origins
        else "no page elsewhere"
    )
    way = "by https, cookies Secure" if settings.behind_tls else "sessions on this machine only"
    return Found(name="browsers", state="ok", message=f"{pages}; {way}")


def _tools(settings: Settings) -> Found:
    # Without the skills, which have a line of their own.
    own = open_toolbox(settings.model_copy(update={"skills_dir": None})).offer.own
    return Found(
        name="tools",
        state="ok",
        message=", ".join(sorted(own)) or "none of one's own (CHARGEHAND_TOOLS is not set)",
    )
