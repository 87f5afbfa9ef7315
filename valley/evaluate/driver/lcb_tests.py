"""Runs one program on all tests of its problem, and compares, as LiveCodeBench's grader does."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import prelude, program
from .cheats import Watch
from .lcb_alarm import Alarm
from .lcb_stdin import call

if TYPE_CHECKING:  # imported by `lcb.warm`
    import ast
    from decimal import Decimal

WRONG, TIMEOUT, ERROR = -2, -3, -4

Graded = tuple[list[Any], dict[str, Any]]


def run_tests(in_outs: dict[str, Any], test: str, alarm: Alarm, watch: Watch) -> Graded:
    """Upstream's results, one for each test up to the first failure, and what it says of that.

    The metadata hold upstream's `error_code` where there is one, and a `kind` (`memory`, `syntax`).
    """
    alarm.set()
    try:
        if "fn_name" in in_outs:
            return _grade_calls(
                test, in_outs["inputs"], in_outs["outputs"], in_outs["fn_name"], alarm, watch
            )
        return _grade_stdio(test, in_outs["inputs"], in_outs["outputs"], alarm)
    except Exception as error:
        return [ERROR], _failed(error, test)
    finally:
        alarm.stop()


def _failed(error: Exception, test: str | None = None) -> dict[str, Any]:
    """Error code and kind; whether `test`, the whole program, can be parsed is looked at if given."""
    kind = "memory" if isinstance(error, MemoryError) else ""
    if test is not None:
        try:
            compile(test, "", "exec", dont_inherit=True)
        except Exception:  # any: deep nesting raises MemoryError or RecursionError
            kind = "syntax"
    return {"error_code": ERROR, "kind": kind}


def _raised(error: Exception, gt_inp: Any) -> tuple[int, dict[str, Any]]:
    """The result of a test that ended with an error of the program, and its metadata."""
    late = "timeoutexception" in repr(error).lower()
    _show(gt_inp)
    return (TIMEOUT, {"error_code": TIMEOUT}) if late else (ERROR, _failed(error))


def _show(value: Any) -> None:
    """Upstream writes values into its metadata; the text of some cannot be had, which is an error."""
    if not isinstance(value, str):
        str(value)


def _build(code: str, alarm: Alarm) -> Any:
    """Run a module's code; returns the module, or a Solution where its text mentions the class."""
    alarm.set()
    try:
        module = ModuleType("tmp_sol", "")
        exec(compile(code, "<string>", "exec", dont_inherit=True), module.__dict__)
        return module.Solution() if "class Solution" in code else module
    finally:
        alarm.stop()


def _find(owner: Any, name: str) -> Callable[..., Any]:
    try:
        found = getattr(owner, name) if hasattr(owner, name) else None
    except Exception:
        found = None
    if owner is None or found is None:
        raise TypeError(f"{name} not found")
    return found


# Functions


def _grade_calls(
    code: str,
    all_inputs: list[Any],
    all_outputs: list[Any],
    fn_name: str,
    alarm: Alarm,
    watch: Watch,
) -> Graded:
    import faulthandler

    method = _find(_build(f"{prelude.SOURCE}\n\n{code}", alarm), fn_name)
    all_inputs = [[json.loads(line) for line in inputs.split("\n")] for inputs in all_inputs]
    all_outputs = [json.loads(output) for output in all_outputs]
    all_results: list[Any] = []
    for gt_inp, gt_out in zip(all_inputs, all_outputs, strict=False):
        alarm.set()
        faulthandler.enable()
        try:
            prediction = method(*gt_inp)
            alarm.stop()
            if isinstance(prediction, tuple):
                prediction = list(prediction)
            right = prediction == gt_out
            all_results.append(right)
            if not right:
                for value in (prediction, gt_inp, gt_out):
                    _show(value)
                return all_results, {"error_code": WRONG}
            watch.look_at(prediction)
        except Exception as error:
            alarm.stop()
            outcome, metadata = _raised(error, gt_inp)
            all_results.append(outcome)
            return all_results, metadata
        finally:
            alarm.stop()
            faulthandler.disable()
        os.write(program.RESULT_FD, b".")
    return all_results, {}


# Programs that talk by stdin and stdout


def _without_main_guard(code: str) -> str:
    """The body of `if __name__ == '__main__'` in its place, if that is the last statement."""
    import ast

    try:
        *before, last = ast.parse(code).body
        if isinstance(last, ast.If) and ast.unparse(last.test).strip() == "__name__ == '__main__'":
            return f"{_text(before)}\n{_text(last.body)}"
    except BaseException:  # upstream passes over all, even its own alarm
        pass
    return code


def _wrapped(code: str) -> str:
    """All but the imports of the top level inside a function, or the code itself if that fails."""
    import ast

    try:
        imports: list[ast.stmt] = []
        others: list[ast.stmt] = []
        for statement in ast.parse(code).body:
            is_import = isinstance(statement, ast.Import | ast.ImportFrom)
            (imports if is_import else others).append(statement)
        function = ast.parse("def wrapped_function(): pass").body[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = others
        return f"{prelude.SOURCE}\n{_text(imports)}\n{ast.unparse(function)}"
    except Exception:
        return code


def _text(statements: list[ast.stmt]) -> str:
    import ast

    return ast.unparse(statements)  # type: ignore[arg-type]


def _grade_stdio(code: str, all_inputs: list[str], all_outputs: list[str], alarm: Alarm) -> Graded:
    import faulthandler

    method = _find(_build(_wrapped(_without_main_guard(code)), alarm), "wrapped_function")
    all_results: list[Any] = []
    for gt_inp, gt_out in zip(all_inputs, all_outputs, strict=False):
        alarm.set()
        faulthandler.enable()
        captured, stdout = io.StringIO(), sys.stdout
        captured.close = lambda x: 1  # type: ignore[assignment, misc]  # to close it is an error
        sys.stdout = captured
        try:
            call(method, gt_inp)
            alarm.stop()
        except Exception as error:
            alarm.stop()
            outcome, metadata = _raised(error, gt_inp)
            all_results.append(outcome)
            return all_results, metadata
        finally:
            alarm.stop()
            faulthandler.disable()
            prediction = captured.getvalue()
            sys.stdout = stdout
        if not _same(prediction, gt_out):
            all_results.append(WRONG)
            return all_results, {"error_code": WRONG}
        all_results.append(True)
        os.write(program.RESULT_FD, b".")
    return all_results, {}


def _same(prediction: str, gt_out: str) -> bool:
    """Line by line, without what stands around a line; a line is the same text or the same numbers.

    Raises:
        decimal.InvalidOperation: a signalling NaN is compared.
    """
    predicted, expected = _lines(prediction), _lines(gt_out)
    if len(predicted) != len(expected):
        return False
    for one, other in zip(predicted, expected, strict=True):
        if one != other:
            numbers = _numbers(one)
            if numbers is None or numbers != _numbers(other):
                return False
    return True


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _numbers(line: str) -> list[Decimal] | None:
    from decimal import Decimal

    try:
        return [Decimal(token) for token in line.split()]
    except Exception:
        return None
