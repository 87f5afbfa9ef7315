"""The tests of this folder run on a real Slurm cluster of their own; see private_cluster.py.

Where it can't run they are skipped, with one line that says what to install (pytest -rs shows it).
With VALLEY_REQUIRE_SLURM=1, as in CI, a test of this folder that is skipped fails instead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from debian_packages import why_unavailable
from faults_table import Fault, write_report
from private_cluster import PrivateCluster

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def slurm() -> Iterator[PrivateCluster]:
    """The session's cluster, to which SLURM_CONF points: 4 nodes of 2 CPUs, with accounting."""
    with PrivateCluster() as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        yield cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that `make faults` gives."""
    parser.addoption("--faults-report", metavar="FILE", help="write the table of faults to FILE")


@pytest.fixture(scope="session")
def faults(request: pytest.FixtureRequest) -> Iterator[list[Fault]]:
    """The faults that this session injects; their table is written at its end, if asked for."""
    found: list[Fault] = []
    yield found
    if file := request.config.getoption("--faults-report", default=None):
        write_report(Path(file), found)


@pytest.fixture
def outcome(request: pytest.FixtureRequest, faults: list[Fault]) -> Iterator[Fault]:
    """A row of the table of faults: called with what was launched until all was done."""
    fault = Fault(str(request.function.__doc__).strip(), started=time.monotonic())
    yield fault
    fault.ended = time.monotonic()
    faults.append(fault)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests, and send them to one pytest-xdist worker: it needs one cluster."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.xdist_group("slurm"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip every test of this folder where no cluster can run."""
    if reason := why_unavailable():
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test that was skipped for any reason fail, if Slurm is required."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let a module that skips itself fail, if Slurm is required."""
    report = yield
    _forbid_skip(report)
    return report


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("VALLEY_REQUIRE_SLURM") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"VALLEY_REQUIRE_SLURM=1, so this may not be skipped. {reason}"
