"""Where settings come from: arguments, environment, file, defaults."""

import os
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsConfigDict, SettingsError, YamlConfigSettingsSource
from yaml import YAMLError

from protojobs_service.settings.kinds import InvalidSettings
from protojobs_service.settings.server import FileSettings, Settings

CONFIG_VARIABLE = "PROTOJOBS_CONFIG"
_SECRET = re.compile(r"secret|passw|passphrase|\.pem\Z|oauthbearer\.config\Z", re.IGNORECASE)
"""Names of what is masked among properties of clients."""


class Setting(NamedTuple):
    """One value in force, its secret masked, and where it came from: environment, file or default."""

    name: str
    value: Any
    source: str
    meaning: str


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings in force. `overrides` win; None among them means unset. Raises InvalidSettings."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return _made(lambda: _configured(config)(**given))


def load_file(config: Path) -> Settings:
    """Return what a file alone says, whatever the environment holds: for commands with two stores. Raises InvalidSettings."""
    return _made(_configured(config, FileSettings))


def _made(make: Callable[[], Settings]) -> Settings:
    try:
        return make()
    except ValidationError as error:
        # What no single field is to blame for names its fields itself.
        lines = [": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"]))) for each in error.errors()]
        raise InvalidSettings("\n".join(lines)) from None
    except (SettingsError, YAMLError) as error:
        raise InvalidSettings(str(error)) from None


def explain(config: Path | None = None) -> list[Setting]:
    """Return every setting in force. Raises InvalidSettings."""
    settings = load(config)
    configured = type(settings)
    environment = EnvSettingsSource(configured)()
    file = YamlConfigSettingsSource(configured)()
    return list(_explain("", settings, environment, file))


def _configured(config: Path | None, base: type[Settings] = Settings) -> type[Settings]:
    """Return the settings class that reads this file, or the one that the environment names, or none."""
    path = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is None:
        return base
    if not path.is_file():
        raise InvalidSettings(f"{path}: no such file")
    return type("Settings", (base,), {"model_config": SettingsConfigDict(yaml_file=path), "__module__": __name__})


def _explain(prefix: str, section: BaseModel, environment: dict[str, Any], file: dict[str, Any]) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _explain(f"{prefix}{name}.", value, _section(environment, name), _section(file, name))
        else:
            source = "environment" if name in environment else "file" if name in file else "default"
            yield Setting(f"{prefix}{name}", _shown(value), source, field.description or "")


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section: dict[str, Any] | None = values.get(name)
    return section or {}


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        properties = cast("dict[str, object]", value)
        return {name: str(SecretStr(str(each))) if _SECRET.search(name) else each for name, each in properties.items()}
    if isinstance(value, tuple):
        return " ".join(str(each) for each in cast("tuple[object, ...]", value))
    return str(value) if isinstance(value, Path | SecretStr | StrEnum) else value
