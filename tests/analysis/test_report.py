import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from collect import collect
from costs import costs, hours, sentence
from report import page
from summary import summarise
from synthetic_sweep import World, default_sweep
from tables import escaped, latex, markdown, tables

SCRIPT = Path(__file__).parents[2] / "analysis" / "report.py"
HOSTILE = "a<script>alert('x')\"&|_b"


class Page(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.headings = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3", "h4") else []

    def handle_data(self, data):
        self.text += data

    def all(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]


def small(root, **settings):
    made = World(root, problems=60, **settings)
    made.cell(0.6, size=0)
    for size, score in ((32, 0.1), (64, 0.1), (128, 0.9)):
        made.cell(score, size=size)
    made.cell(0.3, size=256, missing=("direct",))
    return made


def failed(made, error, log="/nowhere/log"):
    """The missing generation of `small`, as one that failed."""
    job = next(line["jobs"]["generate"] for line in made.lines if line["profile"] == "direct")
    place = made.lines[-1]["jobs"]["generate"]
    assert place != job
    folder = made.root / "store" / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failed.json").write_text(json.dumps({"error": error, "log": log}))
    return folder


def rendered(root):
    collected = collect(root)
    document = summarise(collected)
    text = page(collected, document, [], collected.folder / "figures")
    return Page(text), document, text


def test_the_page_has_every_sentence_every_row_and_what_is_missing(tmp_path):
    made = small(tmp_path)
    found, document, _ = rendered(tmp_path)
    for said in document["sentences"]:
        # The word of a verdict stands apart, and what is next without its label.
        word = document["valley"]["verdict"]
        assert said.removeprefix(word).removeprefix("Next: ") in found.text
    rows = found.text.partition("Filter rows")[2].partition("Hours are of")[0]
    assert rows.count("greedy") == rows.count("direct") == len(made.lines) / 2
    assert "generate not done" in found.text.partition("Left out")[0]
    assert made.digest in found.text and "torch 2.13.0" in found.text
    assert "9 of 10 scores measured on 60 problems" in found.text


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    small(tmp_path)
    found, _, text = rendered(tmp_path)
    addresses = [a[name] for _, a in found.tags for name in ("src", "href") if name in a]
    assert addresses and not [a for a in addresses if ":" in a and not a.startswith("data:")]
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text


def test_headings_come_in_order_and_what_is_referred_to_exists(tmp_path):
    small(tmp_path)
    found, _, _ = rendered(tmp_path)
    assert found.headings[0] == 1 and found.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(found.headings, found.headings[1:], strict=False))
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in found.tags:
        referred = [attributes[n] for n in ("aria-labelledby", "for") if n in attributes]
        referred += attributes.get("aria-describedby", "").split()
        if attributes.get("href", "").startswith("#"):
            referred.append(attributes["href"][1:])
        assert set(referred) <= set(ids)


def test_no_name_and_no_message_becomes_markup(tmp_path):
    made = small(tmp_path, name=HOSTILE, student=HOSTILE)
    message = "</script><img src=x onerror=alert(1)> \"quoted\" 'twice' {{ 1 }}"
    failed(made, message)
    found, _, _ = rendered(tmp_path)
    assert len(found.all("script")) == 1 and not found.all("img")
    assert f"student {HOSTILE}" in found.text and message in found.text
    assert f"Sweep {HOSTILE}" in found.text


def test_links_lead_to_what_is_there_and_to_nothing_else(spaced):
    made = small(spaced)
    store = spaced / "store"
    failed(made, "boom", log=str(spaced / "slurm #1" / "1_0_log.out"))
    (spaced / "slurm #1").mkdir()
    (spaced / "slurm #1" / "1_0_log.out").write_text("boom")
    line = made.lines[2]
    (store / line["before"][0] / "card.md").write_text("a card")
    (store / line["jobs"]["train"] / "log.jsonl").write_text("{}")
    submission = spaced / "array"
    submission.mkdir()
    (store / line["jobs"]["grade"] / "job.json").write_text(
        json.dumps({"execution": {"submission": str(submission)}})
    )
    found, _, _ = rendered(spaced)
    base = made.folder / "figures"
    linked = [
        (base / unquote(a["href"])).resolve()
        for a in found.all("a")
        if not a["href"].startswith("#")
    ]
    assert all(path.exists() for path in linked)
    assert linked.count((store / line["before"][0] / "card.md").resolve()) == len(made.lines)
    assert linked.count((store / line["jobs"]["train"] / "log.jsonl").resolve()) == 2
    assert linked.count(submission.resolve()) == 1
    assert linked.count((spaced / "slurm #1" / "1_0_log.out").resolve()) == 1
    assert len(linked) == len(made.lines) + 4


def test_jobs_that_cells_share_cost_once(tmp_path):
    made = small(tmp_path)
    places = [p for line in made.lines for p in (*line["before"], *line["jobs"].values()) if p]
    identities = {place[-16:] for place in places}
    estimates = {"schema": "valley.estimates/1", "seconds": dict.fromkeys(identities, 3.0)}
    (made.folder / "estimates.json").write_text(json.dumps(estimates))
    (made.folder / "sweep.yaml").write_text("resources: {train: {nodes: 2, gpus_per_node: 4}}")
    *by_kind, total = costs(made.folder, places)
    assert [cost.kind for cost in by_kind] == ["prepare", "train", "generate", "grade"]
    train = by_kind[1]
    assert (train.jobs, train.done, total.jobs, total.done) == (4, 4, 25, 23)
    assert train.measured_h == pytest.approx(4 * 1.5 / 3600)
    assert train.gpu_h == total.gpu_h == pytest.approx(8 * train.measured_h)
    assert total.to_come_h == pytest.approx(2 * 3 / 3600) and total.ratio == pytest.approx(0.5)
    assert "23 of 25 jobs are done" in sentence(total) and "0.5 times as long" in sentence(total)
    (made.folder / "estimates.json").unlink()
    assert "25 jobs have no estimate" in sentence(costs(made.folder, places)[-1])
    assert [hours(value) for value in (0, 0.0123, 0.5, 12.34, 1234.5)] == [
        "0",
        "0.012",
        "0.50",
        "12.3",
        "1,234",
    ]


def test_tables_have_as_many_cells_in_each_row_as_in_their_head(tmp_path):
    default_sweep(tmp_path)
    found = tables(summarise(collect(tmp_path)))
    assert [table.name for table in found] == ["scores", "landmarks", "pairs"]
    lines = [line for line in markdown(found).splitlines() if line.startswith("|")]
    rows = [line for line in latex(found).splitlines() if line.endswith(r"\\")]
    for table in found:
        for _ in range(len(table.rows) + 2):
            assert lines.pop(0).count("|") == len(table.head) + 1
        for _ in range(len(table.rows) + 1):
            assert rows.pop(0).count("&") == len(table.head) - 1
    assert not lines and not rows


def test_latex_finds_no_command_in_a_name():
    assert escaped("50% of a_b & {c} #1 $x^2 ~\\n") == (
        r"50\% of a\_b \& \{c\} \#1 \$x\textasciicircum{}2 \textasciitilde{}\textbackslash{}n"
    )


def test_the_command_writes_the_report_its_figures_and_tables(tmp_path):
    root = tmp_path / "my runs"
    made = small(root)
    command = [sys.executable, str(SCRIPT), "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    path = made.folder / "figures" / "report.html"
    assert done.stdout.splitlines() == [
        str(path),
        f"next: python sweeps/status.py --root '{root}'",
    ]
    assert (made.folder / "results.csv").is_file()
    for name in ("valley.png", "valley.json", "table.tex", "table.md"):
        assert (path.parent / name).stat().st_size
    document = json.loads((path.parent / "valley.json").read_text(encoding="utf-8"))
    images = Page(path.read_text(encoding="utf-8")).all("img")
    assert len(images) >= 3
    assert all(image["src"].startswith("data:image/") for image in images)
    assert document["valley"]["sentence"] in images[0]["alt"]


def test_equal_data_gives_an_equal_page_whatever_the_order_of_hashes(tmp_path):
    made = small(tmp_path)
    failed(made, "boom")
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from test_report import rendered\n"
        f"sys.stdout.write(rendered(Path({str(tmp_path)!r}))[2])\n"
    )
    pages = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert pages[0] == pages[1] and b"</html>" in pages[0]


def test_an_empty_sweep_has_a_report_that_says_so(tmp_path):
    World(tmp_path, problems=20).cell(0.5, size=0, missing=True)
    found, _, _ = rendered(tmp_path)
    assert "INCONCLUSIVE" in found.text and "none graded yet" in found.text
    assert "0 of 2 scores measured" in found.text
