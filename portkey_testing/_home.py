"""Where the run of the tests began: what their cassettes have to tell arrives here, from whichever process ran them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portkey_testing.cassettes import CassetteError, Recorder
from portkey_testing.cassettes.recorder import Parcel
from portkey_testing.cassettes.usage import Use, note


class Home:
    """Hears what tests tell of their cassettes.

    Attributes:
        failures: What could not be written.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._uses: list[Use] = []
        self._recorders: dict[Path, Recorder] = {}
        self.failures: list[CassetteError] = []

    def hear(self, told: dict[str, Any]) -> None:
        """Take in what one test tells, and write what it has recorded away from here."""
        file = self._config.rootpath / told["file"]
        played = told["played"]
        self._uses.append(Use(file, None if played is None else frozenset(played)))
        for parcel in told.get("parcels", ()):
            try:
                if file not in self._recorders:
                    self._recorders[file] = Recorder(file, told["mode"], session=told["session"])
                self._recorders[file].unpack(Parcel(*parcel))
            except CassetteError as error:
                self.failures.append(error)

    def finish(self, *, all_ran: bool) -> None:
        """Finish the files, and note what was played, for `portkey-testing check --unused`."""
        for recorder in self._recorders.values():
            try:
                recorder.close()
            except CassetteError as error:
                self.failures.append(error)
        if (cache := getattr(self._config, "cache", None)) is not None:
            note(cache.mkdir("portkey"), self._uses, whole=all_ran and self._is_asked_for_everything())

    def _is_asked_for_everything(self) -> bool:
        """Whether the command line names no part of the tests."""
        config = self._config
        if any(config.getoption(name, None) for name in ("keyword", "markexpr", "lf", "deselect", "ignore")):
            return False
        asked = {Path(config.invocation_params.dir, argument).resolve() for argument in config.args}
        root = config.rootpath.resolve()
        parts = [root / path for path in config.getini("testpaths")] or [root]
        if not config.getini("testpaths") and any(path.parent == root and path.is_dir() for path in asked):
            return True
        return all(any(part.is_relative_to(path) for path in asked) for part in parts)
