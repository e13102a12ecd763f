"""Time stamps (RFC 3161) of signed checkpoints: somebody else vouches that they existed at a time.

What is stamped is the SHA-256 of a checkpoint's signature, so that the authority learns nothing, and
`openssl ts -verify -data SIGNATURE -in STAMP -CAfile ROOTS` checks it where the signature's 64 bytes are in a file.
There is no nonce: no two checkpoints have one signature, and an old stamp of the same one would be as good.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from measurements.evidence.chain import SignedCheckpoint, stamped
from measurements.evidence.findings import Stamp

LONGEST = 64 * 1024
"""Bytes of an answer."""

_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = (PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS)


def request(checkpoint: SignedCheckpoint) -> bytes:
    """Return the question for a stamp (application/timestamp-query)."""
    builder = TimestampRequestBuilder().data(bytes.fromhex(checkpoint.signature))
    asked = builder.hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=False).cert_request(cert_request=True).build()
    return asked.as_bytes()


def check_answer(answer: bytes, checkpoint: SignedCheckpoint) -> None:
    """See that an answer is a stamp of a checkpoint; raises ValueError with a sentence."""
    _read(answer, checkpoint)


def read_stamp(checkpoint: SignedCheckpoint, roots: Sequence[bytes] = ()) -> Stamp:
    """Read the stamp of a checkpoint, and check it against roots in PEM; raises ValueError with a sentence.

    It is `trusted` when a root vouches for it. Without roots, or when it names another authority's root, it is not:
    anybody could have made it. A stamp that does not fit the root that it names is an error.
    """
    answer = _read(checkpoint.stamp, checkpoint)
    try:
        chain = [x509.load_der_x509_certificate(one) for one in sorted(answer.signed_data.certificates)]
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError(f"it carries a certificate that cannot be read ({error})") from None
    trusted = False
    given = [one for root in roots for one in x509.load_pem_x509_certificates(root)]
    if given:
        try:
            VerifierBuilder(roots=given).build().verify(answer, stamped(checkpoint))
            trusted = True
        except VerificationError as error:
            if {one.issuer for one in chain} & {one.subject for one in given}:
                raise ValueError(f"it is not what the authority signed ({error})") from None
    return Stamp(
        probe=checkpoint.probe_id,
        sequence=checkpoint.sequence,
        time=answer.tst_info.gen_time.timestamp(),
        authority=_authority(answer, chain),
        trusted=trusted,
    )


def _read(data: bytes, checkpoint: SignedCheckpoint) -> TimeStampResponse:
    if len(data) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} bytes")
    try:
        answer = decode_timestamp_response(data)
        status = answer.status
        if status not in _GRANTED:
            raise ValueError(f"the authority refused (status {status})")
        imprint = answer.tst_info.message_imprint
    except ValueError as error:
        raise ValueError(f"it is no time stamp ({error})") from None
    if imprint.hash_algorithm.dotted_string != _SHA256 or imprint.message != stamped(checkpoint):
        raise ValueError("it is a stamp of something else")
    return answer


def _authority(answer: TimeStampResponse, chain: Sequence[x509.Certificate]) -> str:
    """Name who signed, as the certificate that came along says."""
    for signer in answer.signed_data.signer_infos:
        for one in chain:
            if (one.issuer, one.serial_number) == (signer.issuer, signer.serial_number):
                return one.subject.rfc4514_string()
    return "an authority that it does not name"
