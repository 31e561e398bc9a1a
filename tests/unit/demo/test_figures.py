"""The live block, from the text of a metrics page."""

import pytest

from celery_redis_exporter.catalog import tasks
from celery_redis_exporter.demo.figures import WIDTH, Page, render_figures

PAGE = """\
# HELP celery_workers Workers by state.
# TYPE celery_workers gauge
celery_workers{state="online"} 2.0
celery_workers{state="lost"} 1.0
celery_queue_length{queue="payments"} 12.0
celery_queue_length{queue="reports"} 0.0
celery_tasks_running{queue="payments",task="shop.charge_card"} 2.0
celery_tasks_started_total{queue="payments",task="shop.charge_card"} 40.0
celery_tasks_started_total{queue="payments",task="shop.refund_card"} 5.0
celery_tasks_total{queue="payments",state="success",task="shop.charge_card"} 30.0
celery_tasks_total{queue="payments",state="success",task="shop.refund_card"} 5.0
celery_tasks_total{queue="payments",state="failure",task="shop.charge_card"} 3.0
celery_tasks_total{queue="payments",state="retry",task="shop.charge_card"} 4.0
celery_tasks_total{queue="payments",state="revoked",task="shop.charge_card"} 1.0
celery_task_exceptions_total{exception="GatewayTimeoutError",task="shop.charge_card"} 4.0
celery_task_exceptions_total{exception="CardDeclinedError",task="shop.charge_card"} 3.0
celery_task_wait_seconds_bucket{le="0.1",queue="payments",task="shop.charge_card"} 10.0
celery_task_wait_seconds_bucket{le="0.5",queue="payments",task="shop.charge_card"} 30.0
celery_task_wait_seconds_bucket{le="1.0",queue="payments",task="shop.charge_card"} 40.0
celery_task_wait_seconds_bucket{le="+Inf",queue="payments",task="shop.charge_card"} 40.0
celery_task_wait_seconds_count{queue="payments",task="shop.charge_card"} 40.0
celery_task_wait_seconds_sum{queue="payments",task="shop.charge_card"} 14.0
celery_unacked_messages 6.0
redis_memory_used_bytes{redis="broker"} 2.097152e+06
redis_memory_max_bytes{redis="broker"} 6.7108864e+07
redis_connected_clients{redis="broker"} 21.0
"""


def test_block_shows_the_pages_figures() -> None:
    """Each figure is the sum of the page's series for its queue."""
    first, _, payments, reports, total, raised, unacked = render_figures(PAGE, 65.9)
    assert "  1:05   workers 2 online, 1 lost   Redis 2.0 of 64.0 MiB, 21 clients" == first
    assert ["payments", "12", "2", "45", "35", "3", "4", "1", "0.35s", "0.90s"] == payments.split()
    assert ["reports", "0", *["-"] * 8] == reports.split()
    assert ["all", "12", "2", "45", "35", "3", "4", "1", "0.35s", "0.90s"] == total.split()
    assert "raised   4 GatewayTimeoutError, 3 CardDeclinedError" == raised
    assert unacked.startswith("unacked  6 ")


def test_titles_stand_over_their_columns() -> None:
    """Right-aligned figures end where their titles end."""
    _, titles, payments, *_ = render_figures(PAGE, 0)
    assert len(titles) == len(payments) == WIDTH


def test_what_the_page_lacks_is_no_zero() -> None:
    """An empty page gives dashes, not numbers."""
    first, _, total = render_figures("", 0)
    assert "workers - online, - lost   Redis - of - MiB, - clients" in first
    assert ["all", *["-"] * 9] == total.split()


def test_lines_fit_an_80_column_terminal() -> None:
    """Long names of queues and exceptions are cut, never wrapped."""
    page = f'{PAGE}celery_queue_length{{queue="{"q" * 99}"}} 7\n' + "".join(
        f'celery_task_exceptions_total{{exception="{"Very" * 4}LongNamedError{number}",task="t"}} 1\n'
        for number in range(9)
    )
    lines = render_figures(page, 0)
    assert max(len(line) for line in lines) <= WIDTH
    assert "raised   4 GatewayTimeoutError, 3 CardDeclinedError, ..." in lines


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.125, 0.05), (0.25, 0.1), (0.5, 0.3), (0.75, 0.5), (1.0, 1.0)],
)
def test_quantile_interpolates_within_its_bucket(share: float, expected: float) -> None:
    """The estimate is PromQL's histogram_quantile."""
    assert Page(PAGE).quantile(tasks.TASK_WAIT, share, queue="payments") == pytest.approx(expected)


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    """Where only +Inf holds the rank, PromQL gives the highest finite bound."""
    page = Page(
        'celery_task_wait_seconds_bucket{le="0.1",queue="q",task="t"} 1\n'
        'celery_task_wait_seconds_bucket{le="+Inf",queue="q",task="t"} 9\n'
    )
    assert page.quantile(tasks.TASK_WAIT, 0.95) == pytest.approx(0.1)
