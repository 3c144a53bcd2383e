"""`python -m benchmarks [measure ...]`: run the measures, print the table."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys

from benchmarks.table import Row, render

MEASURES = ("startup", "requests", "listing", "fanout", "deployment", "scheduling", "scale", "jobs")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", choices=[*MEASURES, []], help="which to run; all unless told")
    chosen = parser.parse_args().measures or MEASURES
    _use_uvloop()
    rows: list[Row] = []
    for name in chosen:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            rows += importlib.import_module(f"benchmarks.{name}").measure()
        except (RuntimeError, OSError) as error:
            rows.append(Row(name, "", "", f"failed: {str(error)[:200]}", False))
    print(render(rows))
    return 0 if all(row.met is not False for row in rows) else 1


def _use_uvloop() -> None:
    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


if __name__ == "__main__":
    sys.exit(main())
