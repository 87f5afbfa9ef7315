import subprocess
import sys
from pathlib import Path

from collect import collect
from report import markdown
from summary import summarise
from synthetic_sweep import World

SCRIPT = Path(__file__).parents[2] / "analysis" / "report.py"


def small(root):
    made = World(root, problems=60)
    made.cell(0.6, size=0)
    for size, score in ((32, 0.1), (64, 0.1), (128, 0.9)):
        made.cell(score, size=size)
    made.cell(0.3, size=256, missing=("direct",))
    return made


def test_the_report_names_the_verdict_every_cell_and_what_is_missing(tmp_path):
    made = small(tmp_path)
    collected = collect(tmp_path)
    document = summarise(collected)
    text = markdown(collected, document)
    assert text.startswith("# Sweep demo\n\nVALLEY among these checkpoints; seed noise unmeasured")
    for sentence in document["sentences"]:
        assert sentence in text
    cells = text.partition("## Cells")[2].partition("## Missing")[0]
    assert cells.count("\n| tiny |") == len(made.lines) == 10
    missing = text.partition("## Missing")[2].partition("## Provenance")[0]
    assert "| tiny-1-256-all-all-0 | direct | generate not done |" in missing
    assert made.digest in text and "torch 2.13.0" in text


def test_tables_have_as_many_cells_in_each_row_as_in_their_head(tmp_path):
    small(tmp_path)
    collected = collect(tmp_path)
    lines = markdown(collected, summarise(collected)).splitlines()
    blocks = "\n".join(line if line.startswith("|") else "" for line in lines).split("\n\n")
    tables = [block.strip().splitlines() for block in blocks if block.strip()]
    assert len(tables) == 3
    for table in tables:
        assert len({row.count("|") for row in table}) == 1


def test_the_command_writes_the_report_beside_figures_that_exist(tmp_path):
    root = tmp_path / "my runs"
    made = small(root)
    command = [sys.executable, str(SCRIPT), "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    path = made.folder / "figures" / "report.md"
    assert done.stdout.splitlines() == [
        str(path),
        f"next: python sweeps/status.py --root '{root}'",
    ]
    assert (made.folder / "results.csv").is_file()
    for name in ("valley", "contrasts", "behaviour"):
        assert f"({name}.png)" in path.read_text(encoding="utf-8")
        assert (path.parent / f"{name}.png").is_file()


def test_an_empty_sweep_has_a_report_that_says_so(tmp_path):
    World(tmp_path, problems=20).cell(0.5, size=0, missing=True)
    collected = collect(tmp_path)
    text = markdown(collected, summarise(collected))
    assert "INCONCLUSIVE" in text and "none graded yet" in text
