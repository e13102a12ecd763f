"""How often the probe is right: the whole book, run as users run it, and the figures that come of it.

What a run saw is a fact and is kept (`results`), with the code and the deeds it is about; what it should have
been is the book's opinion, read anew for every report. So a corrected expectation costs no new run.
"""
