"""The operator's policy, out of the file that the settings name."""

from pathlib import Path

from chargehand.domain.policy import Policy
from chargehand.domain.policy_file import read_policy
from chargehand.errors import InvalidInput
from chargehand.settings import Settings

MAX_BYTES = 1024 * 1024


def policy_of(settings: Settings) -> Policy:
    """The rules and what silence means. InvalidInput names the file and each fault."""
    rules = (
        ()
        if settings.policy_file is None
        else read_policy(_text(settings.policy_file), origin=str(settings.policy_file))
    )
    return Policy(rules=rules, approval_seconds=settings.approval_seconds, default=settings.approval_default)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise InvalidInput(f"the policy {path} is larger than {MAX_BYTES // 1024} KiB")
        return content.decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InvalidInput(f"the policy {path} cannot be read ({why}); see CHARGEHAND_POLICY_FILE") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the policy {path} is no UTF-8 text; save it as UTF-8") from error
