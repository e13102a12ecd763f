"""A censored country on one machine: network namespaces, real servers, a censor, and the verdicts expected.

    python -m tests.lab list                    the scenarios
    python -m tests.lab check tls-reset         one scenario under `wazi check`
    python -m tests.lab shell tls-reset         a shell in a home of that country

`topology` draws the map, `sites` fills it, `servers` runs it, `book` is what may go
wrong and `mechanisms` makes it go wrong. `lab.Lab` holds it all and lives inside private namespaces;
`client.LabClient` starts one and talks to it from outside. Nothing in here has a way out: there is no
route, no device and no address of the host inside.
"""
