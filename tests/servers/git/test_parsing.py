from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from garrison.servers.git import parsing

names = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
IDS = "100644 100644 100644 " + "a" * 40 + " " + "b" * 40


@given(st.lists(st.tuples(st.sampled_from(["M.", ".M", "MM", "A.", ".D"]), names)), st.lists(names), st.lists(names))
def test_a_status_gives_back_every_name(
    changed: list[tuple[str, str]], untracked: list[str], fought: list[str]
) -> None:
    records = [f"1 {codes} N... {IDS} {path}" for codes, path in changed]
    records += [f"? {path}" for path in untracked]
    records += [f"u UU N... 100644 {IDS} {'c' * 40} {path}" for path in fought]
    found = parsing.status("".join(f"{record}\0" for record in records), "/r", truncated=False)
    assert [each.path for each in found.staged] == [path for codes, path in changed if codes[0] != "."]
    assert [each.path for each in found.unstaged] == [path for codes, path in changed if codes[1] != "."]
    assert (found.untracked, found.conflicted) == (untracked, fought)


@given(names, names, st.integers(min_value=0))
def test_a_status_that_was_cut_anywhere_is_read_as_far_as_it_goes(path: str, was: str, cut: int) -> None:
    whole = f"# branch.head main\0# branch.ab +1 -2\x002 R. N... {IDS} R100 {path}\0{was}\0? {path}\0"
    found = parsing.status(whole[: cut % (len(whole) + 1)], "/r", truncated=True)
    assert len(found.staged) <= 1
    complete = parsing.status(whole, "/r", truncated=False)
    assert (complete.branch, complete.ahead, complete.behind) == ("main", 1, 2)
    assert (complete.staged[0].path, complete.staged[0].was) == (path, was)


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999), names)), names, names)
def test_counts_give_back_every_name(counts: list[tuple[int, int, str]], was: str, now: str) -> None:
    output = "".join(f"{added}\t{deleted}\t{path}\0" for added, deleted, path in counts)
    output += f"-\t-\timage.png\x003\t4\t\0{was}\0{now}\0"
    found = [(each.added, each.deleted, each.path) for each in parsing.counts(output)]
    assert found == [*counts, (None, None, "image.png"), (3, 4, now)]


async def test_strange_names_and_texts_survive_real_git(caller: Any, repository: Path, git_in: Any) -> None:
    name, subject = 'tab\there "quoted" \u2028 ü.txt', "Line\u2028separator\x0b and \x85 others"
    (repository / name).write_text("x\ry\n")
    git_in(repository, "add", name)
    git_in(repository, "commit", "-q", "-m", subject)
    (repository / name).write_text("z\n")
    git = caller("git", repositories=[str(repository)])
    assert name in [each["path"] for each in (await git("git_status")).data["unstaged"]]
    assert name in [each["path"] for each in (await git("git_diff")).data["files"]]
    assert (await git("git_branches")).data["branches"][0]["subject"] == subject
    assert (await git("git_log", path=name)).data["commits"][0]["subject"] == subject
    blamed = (await git("git_blame", path=name, revision="HEAD")).data["lines"]
    assert [(each["text"], each["summary"]) for each in blamed] == [("x\ry", subject)]
