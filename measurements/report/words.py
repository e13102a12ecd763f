"""The words of the report for what Wazi names by a word: each outcome, mechanism, reason and purpose in plain language.

Every table holds messages (`language.mark`), which are translated where they are used. They say what was seen, and
never who ordered it.
"""

from __future__ import annotations

from collections.abc import Mapping

from measurements.events.nouns import Kind, Status
from measurements.model import Failure, Mechanism, Outcome, Proof, Purpose, Trigger, View, Where
from measurements.report.language import mark

STATUSES: Mapping[Status, str] = {
    Status.UNCONFIRMED: mark("not confirmed"),
    Status.CONFIRMED: mark("confirmed"),
    Status.CLOSED: mark("over"),
    Status.WITHDRAWN: mark("withdrawn"),
}

KINDS: Mapping[Kind, str] = {
    Kind.BLOCKING: mark("blocking"),
    Kind.THROTTLING: mark("slowing down"),
    Kind.UNREACHABLE: mark("unreachable, cause not settled"),
    Kind.BLIND: mark("measurements see nothing"),
    Kind.ALLOWLIST: mark("only what is domestic is reachable"),
    Kind.OUTAGE: mark("outage"),
}

OUTCOMES: Mapping[Outcome, str] = {
    Outcome.ACCESSIBLE: mark("accessible"),
    Outcome.BLOCKED: mark("blocked"),
    Outcome.THROTTLED: mark("slowed down"),
    Outcome.UNREACHABLE: mark("unreachable"),
    Outcome.DOWN: mark("down for everybody"),
    Outcome.SERVER_SIDE: mark("refused by the site itself"),
    Outcome.INVALID: mark("set aside: this network could not be judged"),
    Outcome.INCONCLUSIVE: mark("not conclusive"),
}

MECHANISMS: Mapping[Mechanism, str] = {
    Mechanism.DNS_NXDOMAIN: mark(
        "Asked for the site’s address, the network’s resolver answers that no such name exists."
    ),
    Mechanism.DNS_REFUSED: mark("The network’s resolver refuses to answer questions about this name."),
    Mechanism.DNS_SERVFAIL: mark(
        "Questions about this name end in an error, whichever resolver is asked in the usual way."
    ),
    Mechanism.DNS_NO_ANSWER: mark("The network’s resolver answers for this name without giving any address."),
    Mechanism.DNS_TIMEOUT: mark(
        "Questions about this name get no answer, whichever resolver is asked in the usual way."
    ),
    Mechanism.DNS_BOGON: mark("The network’s resolver gives an address that no public site can have."),
    Mechanism.DNS_BLOCKPAGE: mark(
        "The network’s resolver leads to a page that tells of blocking, in place of the site."
    ),
    Mechanism.DNS_REDIRECT: mark("The network’s resolver gives an address that is not the site’s."),
    Mechanism.DNS_INJECTED: mark(
        "Questions about this name are answered by something on the way, in the resolver’s place."
    ),
    Mechanism.TCP_TIMEOUT: mark(
        "Packets to the site’s address get lost on the way, so that no connection comes about."
    ),
    Mechanism.TCP_RESET: mark("Connections to the site’s address are cut off before they stand."),
    Mechanism.TCP_UNREACHABLE: mark("On the way, connections to the site’s address are turned away as impossible."),
    Mechanism.TLS_RESET: mark("Encrypted connections are cut off as soon as they name the site."),
    Mechanism.TLS_TIMEOUT: mark("Encrypted connections get no answer as soon as they name the site."),
    Mechanism.TLS_EOF: mark("Encrypted connections are closed without an answer as soon as they name the site."),
    Mechanism.TLS_MITM: mark(
        "Something on the way answers in the site’s place, with a certificate that is not the site’s."
    ),
    Mechanism.TLS_ALERT: mark("Encrypted connections are refused as soon as they name the site."),
    Mechanism.HTTP_RESET: mark("Requests for the site’s page are cut off."),
    Mechanism.HTTP_TIMEOUT: mark("Requests for the site’s page get no answer."),
    Mechanism.HTTP_EOF: mark("Requests for the site’s page are closed without an answer."),
    Mechanism.HTTP_BLOCKPAGE: mark("A page that tells of blocking comes in place of the site’s own."),
    Mechanism.HTTP_REDIRECT: mark("Requests for the site are sent to another address, which is not the site’s."),
    Mechanism.HTTP_PORTAL: mark("Requests for this name alone are sent to a page where one pays or signs in."),
    Mechanism.HTTP_DIFF: mark("Another page comes than the one that is seen elsewhere."),
    Mechanism.QUIC_TIMEOUT: mark("Connections over QUIC (HTTP/3) under the site’s name get no answer."),
    Mechanism.THROTTLE_RATE: mark(
        "Transfers under the site’s name are far slower than the same ones under a harmless name."
    ),
    Mechanism.THROTTLE_STALL: mark(
        "Transfers under the site’s name stop for good after a while; the same ones under a harmless name go on."
    ),
    Mechanism.NETWORK_ALLOWLIST: mark("Harmless foreign sites cannot be reached either, while domestic ones can."),
}

TRIGGERS: Mapping[Trigger, str] = {
    Trigger.NAME: mark("the name of the site"),
    Trigger.ADDRESS: mark("the address of the site"),
    Trigger.NAME_AND_ADDRESS: mark("the name together with the address"),
    Trigger.PORT: mark("the port"),
    Trigger.PROTOCOL: mark("the protocol"),
    Trigger.ANY: mark("anything foreign"),
    Trigger.UNKNOWN: mark("not known"),
}

PLACES: Mapping[Where, str] = {
    Where.LOCAL: mark("at home"),
    Where.RESOLVER: mark("resolver"),
    Where.NETWORK: mark("network"),
    Where.UNKNOWN: mark("not known"),
}

CONFIDENCES: Mapping[str, str] = {"confirmed": mark("confirmed"), "likely": mark("likely")}

PROOFS: Mapping[Proof, str] = {
    Proof.ELSEWHERE: mark(
        "The name alone makes the difference: it fails at unrelated servers too, where an equally long harmless name "
        "works, the two taking turns."
    ),
    Proof.IMPOSSIBLE: mark(
        "Something came back that the site cannot have sent: a forged answer, a lie about its name, a known page of "
        "blocking, or a cut from a router short of the site’s network."
    ),
    Proof.SHORT: mark(
        "Packets to the site die at a router short of its network, while packets to its neighbours pass that router."
    ),
    Proof.PEERS: mark("Another network in the country reaches the same name and address at the same time."),
}

PROOF_OF_PACE = mark(
    "The name alone makes the difference: the same object from the same server comes slowly, or not to its end, under "
    "the site’s name, and well under an equally long harmless name, the two taking turns."
)

PROOF_NAMES: Mapping[Proof, str] = {
    Proof.ELSEWHERE: mark("fails elsewhere too"),
    Proof.IMPOSSIBLE: mark("cannot be from the site"),
    Proof.SHORT: mark("dies on the way"),
    Proof.PEERS: mark("works next door"),
}

FAILURES: Mapping[Failure, str] = {
    Failure.CONNECTION_REFUSED: mark("connection refused"),
    Failure.CONNECTION_RESET: mark("connection cut off (reset)"),
    Failure.CONNECTION_ABORTED: mark("connection broken off"),
    Failure.HOST_UNREACHABLE: mark("no way to that host"),
    Failure.NETWORK_UNREACHABLE: mark("no way to that network"),
    Failure.NETWORK_DOWN: mark("own network down"),
    Failure.TIMEOUT: mark("no answer in time"),
    Failure.EOF: mark("closed without an answer"),
    Failure.NO_DNS_ANSWER: mark("an answer without an address"),
    Failure.DNS_NXDOMAIN: mark("“no such name”"),
    Failure.DNS_REFUSED: mark("refused to answer"),
    Failure.DNS_SERVFAIL: mark("the resolver failed"),
    Failure.SSL_INVALID_HOSTNAME: mark("answered, with a certificate for another name"),
    Failure.SSL_UNKNOWN_AUTHORITY: mark("answered, with a certificate by an unknown authority"),
    Failure.SSL_INVALID_CERTIFICATE: mark("answered, with a certificate that is not valid"),
    Failure.SSL_FAILED_HANDSHAKE: mark("greeting refused"),
    Failure.QUIC_INCOMPATIBLE_VERSION: mark("no version of QUIC in common"),
    Failure.INTERRUPTED: mark("cut short by the probe itself"),
}
OTHER_FAILURE = mark("another failure (%(word)s)")
WORKED = mark("worked")

VIEWS: Mapping[View, str] = {
    View.LOCAL: mark("As a browser here would ask"),
    View.TRUSTED: mark("The name, asked of independent resolvers over an encrypted channel"),
    View.CONTROL: mark("The same, asked by the control outside"),
}

PURPOSES: Mapping[Purpose, str] = {
    Purpose.TARGET_AT_WITNESS: mark("The site’s name, said to unrelated servers"),
    Purpose.HARMLESS_AT_WITNESS: mark("A harmless name, said to the same servers"),
    Purpose.SAME_PATH_AT_WITNESS: mark("A harmless name with the site’s path, at the same servers"),
    Purpose.HARMLESS_AT_TARGET: mark("A harmless name, said at the site’s own address"),
    Purpose.HARMLESS_AT_RESOLVER: mark("A harmless name, asked of the same resolver"),
    Purpose.SIBLING_AT_RESOLVER: mark("A made-up name below the site’s, asked of the same resolver"),
    Purpose.CHECKING_DISABLED: mark("The name, asked without checking signatures"),
    Purpose.SERVERLESS: mark("The name, asked of an address where no resolver is"),
    Purpose.HARMLESS_SERVERLESS: mark("A harmless name, asked of an address where no resolver is"),
    Purpose.PLAIN_RESOLVER: mark("The name, asked of public resolvers in the usual way"),
    Purpose.FIND_NAME_SERVER: mark("Who keeps the site’s name"),
    Purpose.AT_NAME_SERVER: mark("The name, asked of the site’s own name servers"),
    Purpose.RESOLVER_AT_HOME: mark("Whether the resolver is the home’s own router"),
    Purpose.FIRST_HOP: mark("Whether the home’s own router does it"),
    Purpose.OTHER_HELLO: mark("The site’s name, in a greeting of another shape"),
    Purpose.HARMLESS_OTHER_HELLO: mark("A harmless name, in a greeting of that shape"),
    Purpose.SMALL_SEGMENTS: mark("The site’s name, in packets that fit through any path"),
    Purpose.OTHER_PORT: mark("The site’s address, at another port"),
    Purpose.REPETITION: mark("The same once more, after a pause"),
    Purpose.ANNOUNCEMENT: mark("Whether the site offers HTTP/3"),
    Purpose.PACE_TARGET: mark("An object under the site’s name"),
    Purpose.PACE_HARMLESS: mark("The same object under a harmless name"),
    Purpose.PACE_ALIKE: mark("The same object under two harmless names"),
    Purpose.PACE_OBJECT: mark("An object of the site itself"),
    Purpose.TRACE_TARGET: mark("How far packets with the site’s name get"),
    Purpose.TRACE_HARMLESS: mark("How far packets with a harmless name get"),
    Purpose.TRACE_PATH: mark("How far bare packets to the site get"),
    Purpose.TRACE_NEIGHBOUR: mark("How far packets to the site’s neighbour get"),
    Purpose.TRACE_WITNESS: mark("How far packets to an unrelated site get"),
}

REASONS: Mapping[str, str] = {
    "site_or_network": mark("the site or the network, not settled"),
    "stale_dns": mark("an outdated address"),
    "dnssec": mark("a wrong signature of the name"),
    "path_mtu": mark("a path too narrow for large packets"),
    "tls_shape": mark("a box that breaks greetings of one shape"),
    "rate_limited": mark("too many connections for the site"),
    "no_control": mark("no control to compare with"),
    "offline": mark("no connection"),
    "captive": mark("a sign-in page of the network"),
    "data_plan": mark("the data plan was used up"),
    "vpn": mark("a VPN was in use"),
    "clock": mark("the computer’s clock was wrong"),
    "private_issuer": mark("a device of the volunteer’s own answers for all sites"),
    "resolver_dead": mark("the resolver answers nobody"),
    "unsteady": mark("an unsteady line"),
    "unsteady_line": mark("an unsteady line"),
    "slow_line": mark("a slow line"),
    "network_changed": mark("the network changed meanwhile"),
    "interrupted": mark("the measurement was cut short"),
    "intermittent": mark("it fails only now and then"),
    "abroad": mark("the connection leaves the country first"),
    "asleep": mark("the computer slept"),
    "certificate": mark("the site’s own certificate is not valid"),
    "refused": mark("the site refuses"),
    "unproven": mark("nothing that was seen proves anything"),
    "http_diff": mark("another page than elsewhere"),
    "gateway_only": mark("only the home’s own router answers"),
    "nothing_passes": mark("connections stand, and nothing passes"),
    "invalid_response": mark("the site’s answer is no page"),
    "redirects": mark("the site sends visitors round in circles"),
    "notice": mark("the site shows a notice in place of its page"),
    "local_error": mark("an error on this computer"),
    "error": mark("an error of the program"),
    "stopped": mark("the program was stopped"),
    "odd_record": mark("a record without a step that could be judged"),
    "quic": mark("the site opens over TCP, and not over QUIC"),
    "no_quic": mark("the site does not offer QUIC"),
    "no_name": mark("an address, and no name that could be slowed down"),
    "no_pacer": mark("no server to compare paces with"),
    "pacer_fails": mark("the server to compare paces with did not answer"),
    "name_fails": mark("greetings under the name fail, which is no question of pace"),
    "uncalibrated": mark("too little is known of how paces differ on this line"),
    "uneven": mark("slower, and at no even pace"),
    "undecided": mark("too few pairs to decide"),
}

GAPS: Mapping[str, str] = {
    "off": mark("the probe did not run"),
    "asleep": mark("the computer slept"),
    "stalled": mark("the probe stood still"),
    "offline": mark("no connection"),
    "outage": mark("outage: the link was up, and nothing answered"),
    "window": mark("outside the hours that were set"),
    "budget": mark("the day’s data was used up"),
}

HELD: Mapping[str, str] = {
    "evidence": mark("The votes are not yet enough to keep the promise on false alarms."),
    "one_line": mark("Only one line saw it, and for less than three hours."),
    "elsewhere": mark(
        "The same target changed in two or more other countries at about the time, which points to the site."
    ),
    "placebo": mark("Harmless sites raise alarms too, which points to the network or to the measurement."),
    "software": mark("All votes against access come from one version of the software, and another sees access."),
    "ended": mark("Access is as before."),
    "cleared": mark("Later votes spoke against it, before it was sure."),
    "merged": mark("It is part of another event now."),
    "revised": mark("Votes that came late showed it otherwise."),
}
"""What an event's `reason` says; the sentences of the detector, where it has one."""

NOTES = (
    mark("In some cells it began before the first vote; the bracket reaches back to that vote only."),
    mark("The votes are from elsewhere; nothing is known here of their proofs."),
)
"""Notes that the detector writes besides: they are translated by their English text."""

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        mark("AS number"),
        mark("The number by which the internet knows a network, such as that of a provider: AS24757."),
    ),
    (
        mark("resolver"),
        mark("The directory service that turns a name such as example.org into an address. Providers run one each."),
    ),
    (mark("DNS"), mark("The directory of the internet’s names, and the way of asking it.")),
    (
        mark("TLS"),
        mark("The encryption behind the padlock. Its greeting still says the name of the site in clear."),
    ),
    (
        mark("certificate"),
        mark(
            "What a site shows to prove that it is the one it is called. Nobody else can have it, unless they stole it."
        ),
    ),
    (mark("router"), mark("A machine that passes packets on. There are several between a reader and a site.")),
    (
        mark("control"),
        mark("A computer of Wazi’s outside the network, which is asked whether the site works from there."),
    ),
    (
        mark("harmless name"),
        mark(
            "A name that nobody blocks, as long as the site’s: what happens to it shows what the line does by itself."
        ),
    ),
    (
        mark("placebo"),
        mark("A harmless site that is asked like any other. If it “fails”, the line or the measurement is to blame."),
    ),
    (
        mark("vote"),
        mark("What one measurement says for or against access, reduced to yes or no. Votes are counted over time."),
    ),
    (
        mark("probe"),
        mark("The program of a volunteer that measures. Its owner’s address and name are in no report."),
    ),
)
