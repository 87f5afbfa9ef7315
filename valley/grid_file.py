"""A grid file with what a site and the command line set, which knows where each key comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from valley.axes import NAMED_AXES
from valley.errors import UserError
from valley.validation import Location
from valley.yaml_faults import Yaml, dotted, read_yaml

SITE_SECTIONS = ("cluster", "resources")


class GridFile:
    """The mapping that a grid file holds, with `--set` pairs applied. `value` is not validated yet."""

    def __init__(
        self,
        path: Path,
        settings: list[str],
        site: Path | None = None,
        *,
        called: str = "",
        site_first: bool = False,
    ) -> None:
        """Read the file, fill in what it leaves to its site, and apply the settings, in their order.

        Args:
            site: a YAML file with the sections of SITE_SECTIONS. What the grid states wins, key by
                key; a list that the grid states is not added to.
            called: what messages call the file where nobody has it before them; its lines are not named.
            site_first: let the site's keys win instead, of a grid in which every default stands.
            settings: `key=value` pairs. A key is an axis, which is then set in every block, or the
                dotted path of a setting; a value is YAML.

        Raises:
            UserError: the file cannot be read, is no YAML mapping, or a setting cannot be applied.
        """
        self._called = called or str(path)
        self._is_renamed = bool(called)
        self._site_first = site_first
        self._yaml = _read(path)
        self.value: dict[str, Any] = self._yaml.value
        self._set: dict[Location, str] = {}
        if site is not None:
            self._fill_in(site)
        for setting in settings:
            self._apply(setting)

    def at(self, location: Location) -> str:
        """Where a key comes from, and its name, for the head of a message."""
        key = dotted(self.value, location)
        for length in range(len(location), 0, -1):
            if origin := self._set.get(_plain(location[:length])):
                return f"{origin}: {key}"
        line = None if self._is_renamed else self._yaml.line_of(location)
        place = f"{self._called}, line {line}" if line else self._called
        return f"{place}: {key}" if key else place

    def _fill_in(self, site: Path) -> None:
        document = _read(site)
        for section in document.value:
            if section not in SITE_SECTIONS:
                line = document.line_of([section])
                raise UserError(
                    f"{site}, line {line}: {section}: unknown key "
                    f"(allowed in a site file: {', '.join(SITE_SECTIONS)})"
                )

        def merge(into: dict[str, Any], values: dict[str, Any], place: Location) -> None:
            for key, value in values.items():
                mappings = isinstance(into.get(key), dict) and isinstance(value, dict)
                if key not in into or (self._site_first and not mappings):
                    into[key] = {} if isinstance(value, dict) else value
                    self._comes_from(
                        (*place, key), f"{site}, line {document.line_of((*place, key))}"
                    )
                if isinstance(into[key], dict) and isinstance(value, dict):
                    merge(into[key], value, (*place, key))

        merge(self.value, document.value, ())

    def _apply(self, setting: str) -> None:
        origin = f"--set {setting}"
        key, equals, text = setting.partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"{origin}: expected KEY=VALUE, such as --set seed=[0,1,2]")
        value = read_yaml(text, origin, lined=False).value
        blocks = self.value.get("grid")
        if key in NAMED_AXES and isinstance(blocks, list):
            for number, block in enumerate(blocks):
                if isinstance(block, dict):
                    if _is_zipped(key, block):
                        raise UserError(
                            f"{origin}: {key} moves with other axes in the zip of grid[{number}]; "
                            "change it in the file, or take a part with --where"
                        )
                    block[key] = value
                    self._comes_from(("grid", number, key), origin)
            return
        *parents, last = (_key(part) for part in key.split("."))
        target: Any = self.value
        for depth, name in enumerate(parents, start=1):
            if isinstance(target, dict) and name not in target:
                target[name] = {}
                self._comes_from(tuple(parents[:depth]), origin)
            target = target[name] if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise UserError(f"{origin}: {'.'.join(map(str, parents))} is not a section of the grid")
        target[last] = value
        self._comes_from((*parents, last), origin)

    def _comes_from(self, location: Location, origin: str) -> None:
        location = _plain(location)
        inside = [known for known in self._set if known[: len(location)] == location]
        for known in inside:
            del self._set[known]
        self._set[location] = origin


def _is_zipped(axis: str, block: dict[str, Any]) -> bool:
    zips = block.get("zip")
    listed = zips if isinstance(zips, list) else [zips]
    return any(isinstance(zipped, dict) and axis in zipped for zipped in listed)


def _key(part: str) -> str | int:
    """A key of `stages` is a number, all others are text."""
    return int(part) if part.isdecimal() else part


def _plain(location: Location) -> Location:
    """A location in which a stage's number and its text are one."""
    return tuple(_key(part) if isinstance(part, str) else part for part in location)


def _read(path: Path) -> Yaml:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 (byte {error.object[error.start]:#04x} at {error.start}); "
            "save the file as UTF-8"
        ) from error
    document = read_yaml(text, str(path))
    if not isinstance(document.value, dict):
        found = {type(None): "nothing", list: "a list", str: "text"}.get(
            type(document.value), "a value"
        )
        raise UserError(f"{path}: found {found}; expected a mapping: `name:`, `grid:`, …")
    return document
