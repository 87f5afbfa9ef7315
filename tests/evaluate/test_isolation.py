"""What is offered on a machine; what each keeps a program from stands in test_sandbox."""

from pathlib import Path

from valley.evaluate.isolation import isolations, numpy_folders


def programs(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\necho ' --size BYTES'\n")
        (folder / name).chmod(0o755)


def test_the_strongest_is_first_and_limits_are_always_there(spaced, monkeypatch):
    programs(spaced, "bwrap", "unshare")
    monkeypatch.setenv("PATH", str(spaced))
    names = [isolation.name for isolation in isolations()]
    assert names == sorted(names, key=["bwrap", "unshare", "rlimits"].index)
    assert set(names) == {"bwrap", "unshare", "rlimits"}
    (spaced / "bwrap").unlink()
    (spaced / "unshare").unlink()
    assert [isolation.name for isolation in isolations()] == ["rlimits"]


def test_a_root_of_its_own_holds_the_driver_and_nothing_else_of_this_repository(
    spaced, monkeypatch
):
    programs(spaced, "bwrap")
    monkeypatch.setenv("PATH", str(spaced))
    bwrap = next(iter(isolations()))
    repository = str(Path(__file__).parents[2])
    shown = zip(bwrap.command, bwrap.command[1:], strict=False)
    inside = {path for word, path in shown if "bind" in word and path.startswith(repository)}
    # NumPy lies in here only where the environment does.
    numpy = {str(folder) for folder in numpy_folders() if str(folder).startswith(repository)}
    assert inside == {f"{repository}/valley/evaluate/driver"} | numpy


def test_the_box_is_bounded_where_bubblewrap_can(spaced, monkeypatch):
    monkeypatch.setenv("PATH", str(spaced))
    programs(spaced, "bwrap")
    assert "--size" in next(iter(isolations())).command
    (spaced / "bwrap").write_text("#!/bin/sh\necho ' --tmpfs DEST'\n")
    assert "--size" not in next(iter(isolations())).command
