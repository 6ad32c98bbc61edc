"""What commands go by that ask no running fleet: its settings, and where its ledger is."""

from __future__ import annotations

import os
from pathlib import Path

from garrison.kernel.errors import NotFound
from garrison.kernel.home import Home
from garrison.protection.place import Place
from garrison.surfaces.configuration import Wanted, configure
from garrison.surfaces.desired import read_desired
from garrison.surfaces.ledger_place import place_in
from garrison.surfaces.settings import Settings


def place_of_fleet(home: Home, env_name: str = "") -> Place:
    """For commands: as its settings say."""
    return place_in(home, settings_of_fleet(home, env_name).ledger.url, os.environ)


def settings_of_fleet(home: Home, env_name: str = "") -> Settings:
    """As the fleet was started; where it never was, as the folder's configuration says."""
    try:
        return read_desired(home).settings
    except NotFound:
        return configure(Wanted(Path.cwd(), env_name=env_name, environment=os.environ)).settings.values
