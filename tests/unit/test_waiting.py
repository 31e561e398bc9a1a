# SPDX-License-Identifier: Apache-2.0
"""The helper with which tests wait for a condition."""

import pytest

from tests.support.waiting import eventually


def test_the_first_truthy_result_is_returned() -> None:
    """A condition with a falsy result or a failed assertion is evaluated again until the result is truthy."""
    answers = iter([0, None, AssertionError("not yet"), "there"])

    def condition() -> object:
        answer = next(answers)
        if isinstance(answer, AssertionError):
            raise answer
        return answer

    assert eventually(condition) == "there"


def test_the_last_failure_is_shown_on_timeout() -> None:
    """A condition that never holds fails with its last error message."""

    def condition() -> bool:
        raise AssertionError("queue has 3")

    with pytest.raises(AssertionError, match=r"not within 0\.05 s.*queue has 3"):
        eventually(condition, within=0.05)


def test_other_errors_are_not_waited_out() -> None:
    """Any other error in the condition is raised at once."""
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 // 0)
