# SPDX-License-Identifier: Apache-2.0
"""Prints what the micro-guests have covered, and keeps it as build/test/guest/coverage-ENGINE.txt."""
import runs


def pytest_terminal_summary(terminalreporter):
    table = runs.coverage_table()
    if table:
        path = runs.BUILD / "test" / "guest" / f"coverage-{'-'.join(runs.booted_engines())}.txt"
        path.write_text(table + "\n", encoding="utf-8")
        terminalreporter.write_line(f"coverage by the micro-guests ({path}):")
        terminalreporter.write_line(table)
