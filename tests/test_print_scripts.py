"""`launch.py --print-scripts` on a machine without Slurm; tests/slurm/test_submission.py runs what it prints."""

from __future__ import annotations

import re
import subprocess

from sweeping import MINI, command

from valley.ledger import all_submissions
from valley.store import Store


def printed(spaced, *arguments):
    grid = spaced / "grid.yaml"
    grid.write_text(MINI)
    env = {"SLURM_CONF": str(spaced / "slurm.conf"), "PATH": "/usr/bin:/bin"}
    (spaced / "slurm.conf").write_text("")
    command_line = [str(grid), "--print-scripts", str(spaced / "scripts"), *arguments]
    return command("sweeps/launch.py", *command_line, root=spaced / "runs", env=env)


def test_scripts_are_written_in_order_with_all_they_need(spaced):
    done = printed(spaced)
    assert done.returncode == 0, done.stdout + done.stderr
    scripts = sorted((spaced / "scripts").glob("[0-9]*.sh"))
    assert scripts and [line.strip() for line in done.stdout.splitlines() if line.endswith(".sh")]
    written = (spaced / "scripts" / "submit_all.sh").read_text()
    assert subprocess.run(["bash", "-n", spaced / "scripts" / "submit_all.sh"]).returncode == 0
    places = [written.index(str(script)) for script in scripts]
    assert places == sorted(places)
    for script in scripts:
        assert script.with_suffix("").joinpath("element.pkl").is_file()
        text = script.read_text()
        assert f"#SBATCH --chdir='{script.with_suffix('')}'" in text
        for number in re.findall(r"\$\{A(\d+)\}", text):
            assert int(number) < int(script.name[:2]), "only on scripts before it"
    store = Store(spaced / "runs")
    made = all_submissions(spaced / "runs")
    assert len(made) == len(scripts) and all(s.printed and s.is_open for s in made)
    assert all((store.path / kind).is_dir() for kind in ("prepare", "train", "generate", "grade"))


def test_a_folder_that_holds_something_is_refused_and_the_status_needs_no_slurm(spaced):
    assert printed(spaced).returncode == 0
    again = printed(spaced)
    assert again.returncode == 2 and "not empty; name a new folder" in again.stderr
    said = command("sweeps/status.py", root=spaced / "runs", env={"PATH": "/bin"})
    assert said.returncode == 0 and "5 cells: 5 to run" in said.stdout, said.stdout + said.stderr
