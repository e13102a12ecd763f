"""How fast and how large Wazi is, each figure beside something bare that does the same.

    scripts/bench                       everything (about a quarter of an hour, the lab's list most of it)
    scripts/bench cpu judge --rounds 3  some of it
    scripts/bench --json figures.json   the same figures for programs

Absolute figures are about a machine, so each is also a ratio: Wazi and the bare side take turns in one
run, and a ratio is made of two neighbours in time. `loopback` runs real servers in processes of their
own, `bare` is what a short program would do instead, and the other modules are one part of the bench
each. docs/benchmarks.md says how to read the figures.
"""
