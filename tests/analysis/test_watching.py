import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sweeping import command
from synthetic_sweep import World
from watching import watch

SCRIPT = Path(__file__).parents[2] / "analysis" / "plot_valley.py"


def test_it_shows_again_when_a_result_lands_and_ends_when_none_is_missing(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0)
    made.cell(0.2, size=32, missing=True)
    shown = []

    def show():
        shown.append(time.monotonic())
        if len(shown) == 1:
            grade = made.lines[-1]["jobs"]["grade"]
            threading.Timer(0.3, made.result, (grade, {})).start()
        return 2 - len(shown)

    assert watch(tmp_path, None, 0.05, show) == 0
    assert len(shown) == 2


def test_ctrl_c_ends_it_cleanly(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0, missing=True)
    program = (
        "import signal, sys; sys.path[:0] = sys.argv[2:];"
        # What was started in the background, as these tests may have been, ignores Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from watching import watch;"
        "sys.exit(watch(Path(sys.argv[1]), None, 0.1, lambda: 1))"
    )
    paths = [str(SCRIPT.parent), str(SCRIPT.parents[1])]
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), *paths], stdout=subprocess.PIPE, text=True
    )
    assert "1 score missing" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said == "stopped watching; the figures are as last named\n"


def test_a_figure_against_an_axis_is_drawn_again_too(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell({"greedy": 0.5}, size=0)
    made.cell({"greedy": 0.2}, size=32)
    result = tmp_path / "store" / made.lines[-1]["jobs"]["grade"] / "result.json"
    kept = result.read_text(encoding="utf-8")
    result.unlink()
    command = [sys.executable, "-u", str(SCRIPT), "--root", str(tmp_path), "--x", "size"]
    process = subprocess.Popen([*command, "--watch", "0.1"], stdout=subprocess.PIPE, text=True)
    lines = iter(process.stdout.readline, "")
    assert any("1 score missing" in line for line in lines)
    result.write_text(kept, encoding="utf-8")
    assert sum(line.endswith("size.csv\n") for line in lines) == 1
    assert process.wait(timeout=30) == 0
    assert "NaN" not in (tmp_path / "sweeps" / "demo" / "figures" / "size.csv").read_text()


def test_an_interval_that_is_no_number_is_named():
    done = command("analysis/plot_valley.py", "--watch", "soon", root=Path("nowhere"))
    assert done.returncode == 2
    assert "argument --watch: found 'soon', expected 0.1 to 86400 seconds" in done.stderr
