"""Settings: layers, origins, problems all at once."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from garrison.kernel.settings import Origin, fields_of, load_settings


class Door(msgspec.Struct, frozen=True):
    port: Annotated[int, Meta(ge=0, le=65535, description="Where to knock.")] = 80
    hosts: Annotated[tuple[str, ...], Meta(description="Who may come.")] = ()
    wait_s: Annotated[float, Meta(description="Seconds of patience.")] = 1.5
    open: Annotated[bool, Meta(description="Whether it is open.")] = False


class Log(msgspec.Struct, frozen=True):
    level: Annotated[str, Meta(description="How much.", pattern="^(info|debug)$")] = "info"


class House(msgspec.Struct, frozen=True):
    door: Door = Door()
    log: Log = Log()


def test_without_layers_the_defaults_count() -> None:
    loaded = load_settings(House)
    assert loaded.values == House()
    assert set(loaded.origins.values()) == {Origin("default")}
    assert loaded.problems == ()


def test_each_layer_wins_over_the_one_below_and_is_remembered() -> None:
    loaded = load_settings(
        House,
        file={"door": {"port": 1, "wait_s": 2, "open": True}, "log": {"level": "debug"}},
        file_name="garrison.yaml",
        environment={"GARRISON_DOOR__PORT": "2", "GARRISON_DOOR__WAIT_S": "3.5", "PATH": "/bin"},
        flags={"door.port": "3"},
    )
    assert loaded.problems == ()
    assert loaded.values == House(Door(port=3, wait_s=3.5, open=True), Log(level="debug"))
    assert loaded.origins["door.port"] == Origin("flag", "door.port")
    assert loaded.origins["door.wait_s"] == Origin("environment", "GARRISON_DOOR__WAIT_S")
    assert loaded.origins["door.open"] == Origin("file", "garrison.yaml")
    assert loaded.origins["door.hosts"] == Origin("default")


def test_texts_become_lists_numbers_and_truth_values() -> None:
    environment = {"GARRISON_DOOR__HOSTS": "a.example, b.example,", "GARRISON_DOOR__OPEN": "true"}
    loaded = load_settings(House, environment=environment)
    assert loaded.values.door == Door(hosts=("a.example", "b.example"), open=True)


def test_a_file_is_taken_strictly() -> None:
    loaded = load_settings(House, file={"door": {"port": "80"}})
    assert [problem.setting for problem in loaded.problems] == ["door.port"]


def test_all_problems_come_at_once_and_the_values_below_stay() -> None:
    loaded = load_settings(
        House,
        file={"door": {"prot": 1, "port": 99999}, "dor": {"port": 1}, "log": "loud"},
        environment={"GARRISON_LOG__LEVEL": "shout"},
        flags={"door.open": "perhaps"},
    )
    assert loaded.values == House()
    hints = {problem.setting: problem.hint for problem in loaded.problems}
    assert list(hints) == ["door.prot", "door.port", "dor.port", "log", "log.level", "door.open"]
    assert hints["door.prot"] == "did you mean door.port?"
    assert hints["dor.port"] == "did you mean door.port?"
    assert hints["log"] == "its settings are: level"
    assert hints["door.port"] == "Where to knock."


def test_a_wrong_value_is_not_repeated() -> None:
    """It may be a secret that was put into the wrong variable."""
    loaded = load_settings(House, environment={"GARRISON_DOOR__PORT": "hunter2"})
    assert "hunter2" not in repr(loaded.problems)


def test_other_variables_of_ours_are_no_settings() -> None:
    loaded = load_settings(
        House, environment={"GARRISON_HOME": "/x", "GARRISON_KEY": "k", "GARRISON_INSTANCE": "a:b:c"}
    )
    assert loaded.problems == ()


def test_an_unknown_setting_in_the_environment_is_an_error() -> None:
    (problem,) = load_settings(House, environment={"GARRISON_DOOR__PROT": "1"}).problems
    assert problem.origin == Origin("environment", "GARRISON_DOOR__PROT")
    assert problem.hint == "did you mean door.port?"


def test_every_field_knows_its_variable_default_and_description() -> None:
    field = fields_of(House)["door.wait_s"]
    assert (field.variable, field.default, field.description) == ("GARRISON_DOOR__WAIT_S", 1.5, "Seconds of patience.")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["door", "log", "x"]) | st.text(max_size=4), PLAIN, max_size=4), st.text())
def test_whatever_a_file_or_variable_holds_there_is_an_answer(file: dict[str, object], text: str) -> None:
    loaded = load_settings(House, file=file, environment={"GARRISON_DOOR__PORT": text}, flags={"door.hosts": text})
    assert isinstance(loaded.values, House)
    assert 0 <= loaded.values.door.port <= 65535


@pytest.mark.parametrize(("text", "problems"), [("1", 0), ("TRUE", 0), ("true", 0), ("perhaps", 1), ("", 1)])
def test_truth_values_are_true_false_1_or_0(text: str, problems: int) -> None:
    loaded = load_settings(House, environment={"GARRISON_DOOR__OPEN": text})
    assert len(loaded.problems) == problems
    assert loaded.values.door.open is (problems == 0)
