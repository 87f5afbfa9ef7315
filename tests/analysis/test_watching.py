import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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
    assert "1 scores missing" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said == "stopped watching; the figures are as last named\n"
