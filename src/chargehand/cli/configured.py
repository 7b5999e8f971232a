"""The settings, as a command finds them in its environment."""

import re
from typing import get_origin

from pydantic import ValidationError
from pydantic_settings import SettingsError

from chargehand.errors import InvalidInput
from chargehand.settings import Settings


def load_settings(**changes: object) -> Settings:
    """The settings from the environment; InvalidInput names the variable that is wrong."""
    try:
        settings = Settings()
        return settings.model_copy(update=changes) if changes else settings
    except ValidationError as error:
        first = error.errors()[0]
        name = "CHARGEHAND_" + "_".join(str(part).upper() for part in first["loc"][:1])
        raise InvalidInput(f"{name}={first['input']}: {first['msg']}; correct or unset it") from None
    except SettingsError as error:
        raise InvalidInput(_no_json(error)) from None


def _no_json(error: SettingsError) -> str:
    """Which setting is no JSON, and what it takes; the value is not shown, since addresses may hold secrets."""
    found = re.search(r'field "(\w+)"', str(error))
    name = found[1] if found else ""
    field = Settings.model_fields.get(name)
    takes_object = field is not None and get_origin(field.annotation) is dict
    wanted = 'object, such as {"name": "value"}' if takes_object else 'list, such as ["one"]'
    return f"CHARGEHAND_{name.upper()} is no JSON: write a JSON {wanted}" if name else str(error)
