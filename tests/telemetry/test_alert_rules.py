"""The alert rules: each can fire, none fires while all is well, and each has its page.

What fires is shown by Prometheus' own `promtool test rules`, where it can be had. That what is
asked for exists is shown in `tests/workflows/test_exposed_metrics.py`, by real processes.
"""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from ceremony import names
from tests.support.monitoring import (
    OPERATIONS,
    RULES,
    SCRAPES,
    alerts,
    anchors,
    nodes,
    parsed,
)
from tests.support.promtool import needed
from workflows.policies import STAGE_DEADLINES

AT: Final = 100
"""Minutes after which is asked what fires: the longest wait of an alert is an hour."""
DAYS: Final = 86_400
NAMED: Final = re.compile(r"\$labels\.(\w+)")
CLOSED: Final = {
    "activity",
    "alarm",
    "certificate",
    "job",
    "operation",
    "part",
    "reason",
    "stage",
    "task_queue",
    "why",
}
"""Labels that an alert may show: each a word of a closed set."""

JOBS: Final = ("keyfill-api", "keyfill-ceremony-worker", "keyfill-key-worker")
BUCKETS: Final = ("0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")


def latencies(name: str, labels: str, *, below: str) -> dict[str, str]:
    """A histogram to which ten values below one bucket's end are added every minute."""
    first = BUCKETS.index(below)
    return {
        f'{name}_bucket{{{labels},le="{le}"}}': f"0+{10 if n >= first else 0}x{AT}"
        for n, le in enumerate(BUCKETS)
    }


WELL: Final[dict[str, str]] = {
    **{f'up{{job="{job}",instance="{n}"}}': f"1x{AT}" for job in JOBS for n in (1, 2)},
    **{
        f'keyfill_ready{{part="{part}"}}': f"1x{AT}"
        for part in ("database", "temporal", "key_worker")
    },
    'keyfill_http_requests_total{status="200",route="/a"}': f"0+60x{AT}",
    'keyfill_http_requests_total{status="503",route="/readyz"}': f"0+6x{AT}",
    **{
        f'keyfill_loading_request_oldest_seconds{{stage="{stage.value}"}}': f"60x{AT}"
        for stage in STAGE_DEADLINES
    },
    'keyfill_refusals_total{reason="sms-code-wrong"}': f"0+1x{AT}",
    "keyfill_refusals_unaudited_total": f"0x{AT}",
    'keyfill_alarms{alarm="codes-many-persons",window="hour"}': f"0x{AT}",
    'keyfill_alarms{alarm="codes-many-persons",window="day"}': f"1x{AT}",
    "keyfill_keys_unconfirmed": f"0x{AT}",
    'keyfill_sms_total{purpose="sms-code",outcome="unavailable"}': f"0x{AT}",
    'keyfill_sms_messages{purpose="sms-code",status="sent",window="hour"}': f"20x{AT}",
    'keyfill_sms_messages{purpose="sms-code",status="failed",window="hour"}': f"2x{AT}",
    'keyfill_sms_messages{purpose="sms-code",status="ambiguous",window="hour"}': f"0x{AT}",
    'keyfill_key_manager_calls_total{operation="create",outcome="failed"}': f"0x{AT}",
    **latencies("keyfill_key_manager_seconds", 'operation="create"', below="0.1"),
    **latencies("keyfill_journal_seconds", 'access="write"', below="0.1"),
    'keyfill_key_answers_total{act="release",outcome="duplicate"}': f"0x{AT}",
    'keyfill_key_answers_total{act="release",outcome="released"}': f"0+1x{AT}",
    'keyfill_hsm_keys{finding="unknown"}': f"0x{AT}",
    'keyfill_hsm_keys{finding="kept"}': f"9x{AT}",
    'keyfill_hsm_comparisons_total{outcome="failed"}': f"0x{AT}",
    'keyfill_kdh_certificate_end_seconds{certificate="kdh"}': f"{400 * DAYS}x{AT}",
    "keyfill_registry_sync_age_seconds": f"900x{AT}",
    'keyfill_registry_sync{outcome="stopped"}': f"0x{AT}",
    'keyfill_registry_sync{outcome="applied"}': f"1x{AT}",
    f'temporal_num_pollers{{task_queue="{names.CEREMONY_QUEUE}"}}': f"2x{AT}",
    f'temporal_num_pollers{{task_queue="{names.KEYS_QUEUE}"}}': f"1x{AT}",
    'keyfill_worker_beat_seconds{job="keyfill-key-worker"}': f"0+60x{AT}",
    "temporal_workflow_task_execution_failed_total": f"2x{AT}",
    'keyfill_payloads_refused_total{why="refused"}': f"0x{AT}",
    **latencies(
        "temporal_workflow_task_schedule_to_start_latency_seconds",
        f'task_queue="{names.CEREMONY_QUEUE}"',
        below="0.1",
    ),
    **latencies(
        "temporal_activity_schedule_to_start_latency_seconds",
        f'task_queue="{names.KEYS_QUEUE}"',
        below="0.1",
    ),
    'keyfill_activities_total{activity="send_notice",outcome="failed"}': f"0+0.5x{AT}",
}
"""Every series of a deployment in which all is well, as `promtool` writes values."""


@dataclass(frozen=True)
class Trouble:
    """What is otherwise than well (None: the series is not there), and the alerts that say so."""

    fires: tuple[str, ...]
    series: dict[str, str | None] = field(default_factory=dict)


LATE: Final = f"0x{AT - 5} 1x5"
"""A counter that begins to count five minutes before the question."""

TROUBLES: Final = {
    "one process down": Trouble(
        ("KeyfillProcessDown",), {'up{job="keyfill-api",instance="2"}': f"0x{AT}"}
    ),
    "every API down": Trouble(
        ("KeyfillProcessDown", "KeyfillProcessesAway"),
        {f'up{{job="keyfill-api",instance="{n}"}}': f"0x{AT}" for n in (1, 2)},
    ),
    "no key worker at all": Trouble(
        ("KeyfillProcessesAway",),
        {f'up{{job="keyfill-key-worker",instance="{n}"}}': None for n in (1, 2)},
    ),
    "temporal away": Trouble(("KeyfillNotReady",), {'keyfill_ready{part="temporal"}': f"0x{AT}"}),
    "faults": Trouble(
        ("KeyfillServerErrors",),
        {'keyfill_http_requests_total{status="500",route="/a"}': f"0x{AT - 5} 0+2x5"},
    ),
    **{
        f"overdue {stage.value}": Trouble(
            ("KeyfillRequestOverdue",),
            {
                f'keyfill_loading_request_oldest_seconds{{stage="{stage.value}"}}': (
                    f"{int(deadline.total_seconds()) + 301}x{AT}"
                )
            },
        )
        for stage, deadline in STAGE_DEADLINES.items()
    },
    "refusals": Trouble(
        ("KeyfillRefusals",), {'keyfill_refusals_total{reason="bad-signature"}': f"0+2x{AT}"}
    ),
    "a flood": Trouble(("KeyfillRefusalsUnaudited",), {"keyfill_refusals_unaudited_total": LATE}),
    "spraying": Trouble(
        ("KeyfillAlarm",), {'keyfill_alarms{alarm="codes-many-persons",window="hour"}': f"1x{AT}"}
    ),
    "unconfirmed": Trouble(("KeyfillKeysUnconfirmed",), {"keyfill_keys_unconfirmed": f"1x{AT}"}),
    "no sms provider": Trouble(
        ("KeyfillSmsUnavailable",),
        {'keyfill_sms_total{purpose="sms-code",outcome="unavailable"}': f"0x{AT - 9} 0+1x9"},
    ),
    "sms undelivered": Trouble(
        ("KeyfillSmsFailing",),
        {'keyfill_sms_messages{purpose="ended",status="undelivered",window="hour"}': f"1x{AT}"},
    ),
    "sms ambiguous": Trouble(
        ("KeyfillSmsAmbiguous",),
        {'keyfill_sms_messages{purpose="sms-code",status="ambiguous",window="hour"}': f"3x{AT}"},
    ),
    "key manager fails": Trouble(
        ("KeyfillKeyManagerFailing",),
        {'keyfill_key_manager_calls_total{operation="create",outcome="failed"}': LATE},
    ),
    "key manager slow": Trouble(
        ("KeyfillKeyManagerSlow",),
        latencies("keyfill_key_manager_seconds", 'operation="make-token"', below="5"),  # type: ignore[arg-type]
    ),
    "journal slow": Trouble(
        ("KeyfillJournalSlow",),
        latencies("keyfill_journal_seconds", 'access="write"', below="1"),  # type: ignore[arg-type]
    ),
    "made before": Trouble(
        ("KeyfillKeyMadeBefore",),
        {'keyfill_key_answers_total{act="release",outcome="duplicate"}': f"0x10 1x{AT - 10}"},
    ),
    "unknown keys": Trouble(
        ("KeyfillHsmKeysUnknown",), {'keyfill_hsm_keys{finding="unknown"}': f"1x{AT}"}
    ),
    "hsm not compared": Trouble(
        ("KeyfillHsmNotCompared",),
        {'keyfill_hsm_comparisons_total{outcome="failed"}': f"0x{AT - 45} 0+0.067x45"},
    ),
    "certificate ends in 59 days": Trouble(
        ("KeyfillKdhCertificateEnds",),
        {'keyfill_kdh_certificate_end_seconds{certificate="kdh_next"}': f"{59 * DAYS}x{AT}"},
    ),
    "certificate ends in 13 days": Trouble(
        ("KeyfillKdhCertificateEnds", "KeyfillKdhCertificateEndsSoon"),
        {'keyfill_kdh_certificate_end_seconds{certificate="kdh"}': f"{13 * DAYS}x{AT}"},
    ),
    "registry old": Trouble(
        ("KeyfillRegistryOld",), {"keyfill_registry_sync_age_seconds": f"{DAYS + 1}x{AT}"}
    ),
    "registry never": Trouble(("KeyfillRegistryOld",), {"keyfill_registry_sync_age_seconds": None}),
    "registry stopped": Trouble(
        ("KeyfillRegistryStopped",), {'keyfill_registry_sync{outcome="stopped"}': f"1x{AT}"}
    ),
    "nobody polls": Trouble(
        ("KeyfillWorkerNotPolling",),
        {f'temporal_num_pollers{{task_queue="{names.CEREMONY_QUEUE}"}}': f"0x{AT}"},
    ),
    "nobody is there to poll": Trouble(
        ("KeyfillWorkerNotPolling",),
        {f'temporal_num_pollers{{task_queue="{names.KEYS_QUEUE}"}}': None},
    ),
    "silent": Trouble(
        ("KeyfillWorkerSilent",),
        {'keyfill_worker_beat_seconds{job="keyfill-key-worker"}': f"{60 * (AT - 4)}x{AT}"},
    ),
    "workflow tasks fail": Trouble(
        ("KeyfillWorkflowTasksFailing",),
        {"temporal_workflow_task_execution_failed_total": f"2x{AT - 5} 3x5"},
    ),
    "payloads refused": Trouble(
        ("KeyfillPayloadRefused",), {'keyfill_payloads_refused_total{why="refused"}': LATE}
    ),
    "workflow tasks wait": Trouble(
        ("KeyfillTasksWaiting",),
        latencies(  # type: ignore[arg-type]
            "temporal_workflow_task_schedule_to_start_latency_seconds",
            f'task_queue="{names.CEREMONY_QUEUE}"',
            below="5",
        ),
    ),
    "activities wait": Trouble(
        ("KeyfillTasksWaiting",),
        latencies(  # type: ignore[arg-type]
            "temporal_activity_schedule_to_start_latency_seconds",
            f'task_queue="{names.KEYS_QUEUE}"',
            below="5",
        ),
    ),
    "activities fail": Trouble(
        ("KeyfillActivitiesFailing",),
        {'keyfill_activities_total{activity="synchronise",outcome="failed"}': f"0+1x{AT}"},
    ),
}


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Prometheus' own tool."""
    return subprocess.run(
        [str(needed()), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def shown(rule: dict[str, Any]) -> set[str]:
    """The labels that an alert's text names."""
    told = rule["annotations"]
    return set(NAMED.findall(told["summary"] + told["description"]))


def case(trouble: Trouble) -> dict[str, Any]:
    """A test of promtool's: exactly these alerts fire."""
    series = {**WELL, **trouble.series}
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values}
            for name, values in series.items()
            if values is not None
        ],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{AT - 1}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in trouble.fires
                ],
            },
            # Whatever an alert's text names, the alert has.
            *(
                {
                    "expr": f'ALERTS{{alertname="{rule["alert"]}",{label}=""}}',
                    "eval_time": f"{AT - 1}m",
                    "exp_samples": [],
                }
                for rule in alerts()
                for label in shown(rule)
            ),
        ],
    }


def test_prometheus_reads_the_rules_and_the_example() -> None:
    """Both files are what Prometheus takes."""
    for arguments in (("check", "rules", str(RULES)), ("check", "config", str(SCRAPES))):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def together() -> list[Trouble]:
    """The troubles in few heaps, each of which tells an alert once: every run takes a while."""
    heaps: list[Trouble] = []
    for one in TROUBLES.values():
        for n, heap in enumerate(heaps):
            if not set(one.fires) & set(heap.fires) and not one.series.keys() & heap.series.keys():
                heaps[n] = Trouble((*heap.fires, *one.fires), {**heap.series, **one.series})
                break
        else:
            heaps.append(one)
    return heaps


def test_each_trouble_fires_its_alert_and_no_other(tmp_path: Path) -> None:
    """While all is well nothing fires; each trouble is told by the alert that it is for."""
    heaps = [Trouble(()), *together()]
    file = tmp_path / "troubles.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(RULES)],
                "evaluation_interval": "1m",
                "tests": [case(one) for one in heaps],
            }
        )
    )
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(heaps) <= 6


def test_every_alert_has_a_trouble() -> None:
    """No rule is there that was never seen to fire."""
    fired = {name for one in TROUBLES.values() for name in one.fires}
    assert fired == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """Severity, one sentence, more, and a page that exists; no label that names anybody."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert told["summary"].endswith(".") and told["description"].endswith(".")
    page, _, anchor = told["runbook_url"].partition("#")
    assert page == f"docs/{OPERATIONS.name}"
    assert anchor in anchors()
    assert shown(rule) <= CLOSED
    assert parsed(rule["expr"]) is not None


def test_a_request_is_overdue_five_minutes_after_its_deadline() -> None:
    """The rule's seconds are those of the workflow's own deadlines."""
    (rule,) = (one for one in alerts() if one["alert"] == "KeyfillRequestOverdue")
    found = {
        left.expr.matchers.matchers[0].value: node.rhs.val
        for node in nodes(parsed(rule["expr"]))
        if (left := getattr(node, "lhs", None)) is not None and hasattr(node.rhs, "val")
    }
    assert found == {
        stage.value: deadline.total_seconds() + 300 for stage, deadline in STAGE_DEADLINES.items()
    }
