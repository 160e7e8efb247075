"""The ops of a report as CSV, one row each: for spreadsheets and scripts."""

import csv
import io

from accelerator_sim.report import Report

FIXED_COLUMNS = (
    "index",
    "name",
    "family",
    "start_s",
    "duration_s",
    "bound",
    "split",
    "loop_order",
    "mac_s",
    "vector_s",
    "fill_s",
    "stall_s",
    "stall_tensor",
    "macs",
    "utilization",
)


def report_csv(report: Report) -> str:
    """One header line, one row per op in execution order.

    After the fixed columns come `NAME_busy_s` for every resource (tiers, interconnect, port),
    `TIER_traffic_bytes`, `homes` (`tensor=home`, separated by `;`) and `nodes` (by `;`).
    """
    resources = list(report.ops[0].resource_s) if report.ops else []
    tiers = [tier.name for tier in report.tiers]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *FIXED_COLUMNS,
            *(f"{name}_busy_s" for name in resources),
            *(f"{name}_traffic_bytes" for name in tiers),
            "homes",
            "nodes",
        ]
    )
    for op in report.ops:
        writer.writerow(
            [
                *(getattr(op, column) for column in FIXED_COLUMNS),
                *(op.resource_s.get(name, 0.0) for name in resources),
                *(op.traffic_bytes.get(name, 0) for name in tiers),
                ";".join(f"{tensor}={home}" for tensor, home in op.homes.items()),
                ";".join(op.nodes),
            ]
        )
    return text.getvalue()
