#!/usr/bin/env python3
"""A short KV budget: evicting what is needed last computes less again than evicting what was used first, and
no run ends otherwise (the command itself compares their hashes)."""
import json
import subprocess
import sys


def main():
    command = [sys.argv[1], "bench", "eviction", "--until", "10:30", "--share", "0.2", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    lru, next_use = report["results"]
    assert (lru["eviction"], next_use["eviction"]) == ("lru", "next-use")
    print(f"computed again: {lru['recomputed_tokens']} with lru, {next_use['recomputed_tokens']} with next-use")
    for row in report["results"]:
        assert row["evicted_blocks"] > 0
        assert row["recomputed_tokens"] % 64 == 0
        # Rows in the middle of blocks leave too, and are not counted.
        assert row["cached_prompt_tokens"] <= report["cached_prompt_tokens"]
    # A run's order of calls differs from run to run.
    assert 0 < next_use["recomputed_tokens"] < 0.75 * lru["recomputed_tokens"]


if __name__ == "__main__":
    main()
