from __future__ import annotations

import asyncio
import os
import resource
import stat
from pathlib import Path

import pytest

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import GarrisonError
from garrison.runtimes import strays
from garrison.runtimes.instance import Instance
from garrison.runtimes.reaper import Reaper
from runtimes.small_fleet import (
    EXITS_AT_ONCE,
    GARBAGE,
    GOOD,
    GRANDCHILD_LEAVES,
    HANGS,
    STUBBORN,
    Fleet,
    SmallLink,
    alive,
    descriptors,
    lines_of,
    python,
    until,
    zombies,
)


async def started(fleet: Fleet, spec: ServerSpec) -> tuple[Instance, SmallLink]:
    instance = await fleet.driver.start(spec, "one")
    return instance, SmallLink(instance)


async def test_a_server_answers_over_its_pipes_and_ends_when_its_stdin_closes(fleet: Fleet) -> None:
    instance, link = await started(fleet, python("good", GOOD))
    await link.open(5)
    assert fleet.driver.inspect(instance).alive
    await fleet.driver.stop(instance)
    assert not alive(instance.pid)
    assert "exited with code 0" in lines_of(fleet.driver.logs("good", 5))


async def test_each_server_has_a_session_of_its_own(fleet: Fleet) -> None:
    instance, _ = await started(fleet, python("good", GOOD))
    assert os.getsid(instance.pid) == os.getpgid(instance.pid) == instance.pid
    await fleet.driver.stop(instance)


async def test_a_server_that_ignores_sigterm_is_killed_after_the_graces(fleet: Fleet) -> None:
    instance, link = await started(fleet, python("stubborn", STUBBORN))
    await link.open(5)
    await fleet.driver.stop(instance)
    assert not alive(instance.pid)
    assert "was killed by SIGKILL" in lines_of(fleet.driver.logs("stubborn", 5))


async def test_a_grandchild_in_another_session_ends_with_its_server(fleet: Fleet) -> None:
    instance, link = await started(fleet, python("forks", GRANDCHILD_LEAVES))
    await link.open(5)
    family = strays.find(fleet.fleet_id)
    assert len(family) == 2
    await fleet.driver.stop(instance)
    assert not any(map(alive, family))


async def test_when_the_direct_child_dies_all_that_it_started_is_ended(fleet: Fleet) -> None:
    instance, link = await started(fleet, python("forks", GRANDCHILD_LEAVES))
    await link.open(5)
    family = strays.find(fleet.fleet_id)
    os.kill(instance.pid, 9)
    exit_ = await fleet.driver.wait(instance)
    assert exit_.code == -9
    assert not any(map(alive, family))
    await fleet.driver.stop(instance)


async def test_a_server_that_closes_its_stdout_is_ended(fleet: Fleet) -> None:
    instance, _ = await started(fleet, python("mute", "import os, time; os.close(1); time.sleep(60)"))
    exit_ = await fleet.driver.wait(instance)
    assert exit_.reason == "was killed by SIGTERM"
    await fleet.driver.stop(instance)


async def test_garbage_on_stdout_goes_to_the_log_and_not_to_the_client(fleet: Fleet) -> None:
    instance, link = await started(fleet, python("noisy", GARBAGE))
    await link.open(5)
    await fleet.driver.stop(instance)
    log = lines_of(fleet.driver.logs("noisy", 20))
    assert "out| \\x1b[31mwelcome\\x1b[0m" in log
    assert "out| ~~" in log


async def test_the_exit_code_and_the_last_words_are_kept(fleet: Fleet) -> None:
    instance, _ = await started(fleet, python("brief", EXITS_AT_ONCE))
    exit_ = await fleet.driver.wait(instance)
    assert (exit_.code, exit_.reason) == (3, "exited with code 3")
    assert "err| cannot open the database" in lines_of(fleet.driver.logs("brief", 20))
    await fleet.driver.stop(instance)


async def test_the_channel_hears_of_the_end_once_after_the_last_answer(fleet: Fleet) -> None:
    instance, link = await started(fleet, python("good", GOOD))
    await link.open(5)
    reasons: list[str] = []
    link.on_closed(reasons.append)
    asking = asyncio.ensure_future(link.ask("tools/call", 5))
    await asking
    os.kill(instance.pid, 9)
    await fleet.driver.wait(instance)
    assert reasons == ["its process was killed by SIGKILL"]
    await fleet.driver.stop(instance)


async def test_a_server_sees_the_allowed_environment_its_own_and_nothing_else(fleet: Fleet, tmp_path: Path) -> None:
    seen = tmp_path / "environment"
    program = f"import os; open({str(seen)!r}, 'w').write('\\n'.join(sorted(os.environ)))"
    spec = ServerSpec(
        name="env", transport="stdio", command=("python3", "-S", "-c", program), env={"TOKEN": "t", "LC_ALL": "C"}
    )
    os.environ["GARRISON_SECRET"] = os.environ["SOMETHING_ELSE"] = "x"
    try:
        other = Fleet(tmp_path)
        instance = await other.driver.start(spec, "one")
        await other.driver.wait(instance)
        await other.driver.stop(instance)
    finally:
        del os.environ["GARRISON_SECRET"], os.environ["SOMETHING_ELSE"]
    names = seen.read_text().split()
    assert {"TOKEN", "PATH", strays.MARK} <= set(names)
    assert not {"SOMETHING_ELSE", "GARRISON_SECRET"} & set(names)


async def test_arguments_reach_the_program_as_they_are_without_a_shell(fleet: Fleet, tmp_path: Path) -> None:
    seen = tmp_path / "argv"
    odd = "; touch /nowhere $(id) `id` \"quoted\" 'too' | & > <"
    program = f"import sys; open({str(seen)!r}, 'w').write(sys.argv[1])"
    spec = ServerSpec(name="argv", transport="stdio", command=("python3", "-S", "-c", program, odd))
    instance = await fleet.driver.start(spec, "one")
    await fleet.driver.wait(instance)
    await fleet.driver.stop(instance)
    assert seen.read_text() == odd


def script(path: Path, first_line: str, mode: int) -> str:
    path.write_text(first_line)
    path.chmod(mode)
    return str(path)


async def test_what_cannot_be_started_says_what_is_wrong_and_what_to_do(fleet: Fleet, tmp_path: Path) -> None:
    executable = stat.S_IRWXU
    cases: dict[tuple[str, ...], tuple[str, str]] = {
        ("no-such-launcher",): ("server.command_not_found", "install it"),
        ("bunx", "thing"): ("server.command_not_found", "Bun"),
        ("./missing",): ("server.command_not_found", "cwd"),
        (script(tmp_path / "plain", "#!/bin/sh\n", 0o600),): ("server.command_not_executable", "chmod"),
        (str(tmp_path),): ("server.command_not_executable", "chmod"),
        (script(tmp_path / "orphan", "#!/no/interpreter\n", executable),): ("server.interpreter_missing", "#!"),
        (script(tmp_path / "text", "just words\n", executable),): ("server.not_a_program", "program"),
        ("python3", "nul\0byte"): ("server.bad_argument", "NUL"),
        ("python3", "x" * 3_000_000): ("server.arguments_too_long", "shorten"),
        (): ("server.no_command", "command"),
    }
    for command, (code, hint) in cases.items():
        with pytest.raises(GarrisonError) as caught:
            await fleet.driver.start(ServerSpec(name="bad", transport="stdio", command=command), "one")
        assert caught.value.code == code, command[:1]
        assert hint in caught.value.hint
        assert "bad" in caught.value.message


async def test_a_missing_folder_is_named(fleet: Fleet) -> None:
    with pytest.raises(GarrisonError) as caught:
        await fleet.driver.start(python("lost", GOOD, cwd="/no/such/folder"), "one")
    assert caught.value.code == "server.cwd_missing"


async def test_a_relative_command_starts_at_the_servers_folder(fleet: Fleet, tmp_path: Path) -> None:
    script(tmp_path / "run", "#!/bin/sh\npwd >&2\n", stat.S_IRWXU)
    spec = ServerSpec(name="here", transport="stdio", command=("./run",), cwd=str(tmp_path))
    instance = await fleet.driver.start(spec, "one")
    await fleet.driver.wait(instance)
    await fleet.driver.stop(instance)
    assert f"err| {tmp_path}" in lines_of(fleet.driver.logs("here", 9))


@pytest.mark.slow
async def test_twenty_rounds_leave_no_descriptor_no_process_and_no_zombie(reaper: Reaper, fleet: Fleet) -> None:
    await _round(fleet, 0)
    before = descriptors()
    for number in range(1, 21):
        await _round(fleet, number)
    await until(lambda: descriptors() <= before)
    assert strays.find(fleet.fleet_id) == []
    reaper.reap()
    assert zombies() == []


async def _round(fleet: Fleet, number: int) -> None:
    program = [GOOD, GRANDCHILD_LEAVES, EXITS_AT_ONCE, HANGS][number % 4]
    instance = await fleet.driver.start(python("round", program), f"i{number}")
    if number % 4 < 2:
        await SmallLink(instance).open(5)
    await fleet.driver.stop(instance)


async def test_a_start_that_is_cancelled_leaves_no_process(fleet: Fleet) -> None:
    for delay in (0, 1, 2, 3):
        task = asyncio.ensure_future(fleet.driver.start(python("cut", HANGS), f"c{delay}"))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            await fleet.driver.stop(task.result())
    assert strays.find(fleet.fleet_id) == []


async def test_a_machine_without_free_descriptors_is_a_typed_error_and_leaves_no_process(fleet: Fleet) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    os.close(lowest_free := os.dup(0))
    codes = []
    for spare in range(1, 30):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + spare, hard))
        try:
            instance = await fleet.driver.start(python("tight", EXITS_AT_ONCE), f"t{spare}")
        except GarrisonError as error:
            codes.append(error.code)
        else:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await fleet.driver.stop(instance)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(codes) == {"server.spawn_failed"}
    assert len(codes) < 29
    assert descriptors() == before
    assert strays.find(fleet.fleet_id) == []


async def test_recover_ends_what_a_former_life_left(fleet: Fleet) -> None:
    instance, _ = await started(fleet, python("left", HANGS))
    assert await fleet.driver.recover() == ()
    assert not alive(instance.pid)
    await fleet.driver.stop(instance)


async def test_a_flood_for_a_server_that_does_not_read_is_refused_at_a_bound(fleet: Fleet) -> None:
    instance, _ = await started(fleet, python("deaf", HANGS))
    channel = instance.endpoint.channel  # type: ignore[union-attr]
    flood = [b"x" * 1024 * 1024] * 200
    with pytest.raises(GarrisonError) as caught:
        list(map(channel.write, flood))  # type: ignore[attr-defined]
    assert caught.value.code == "server.not_reading"
    await fleet.driver.stop(instance)
