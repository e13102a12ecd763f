"""A secret does not print, however it is written."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest

from measurements.alerts.secrets import Secret

CANARY = "kanari-7f3a"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://hooks.example/services/{CANARY}?token={CANARY}", "https://hooks.example/***"),
        (f"https://user:{CANARY}@hooks.example:8443/x", "https://hooks.example:8443/***"),
        (f"http://[2001:db8::1]:80/{CANARY}", "http://[2001:db8::1]:80/***"),
        (f"socks5h://{CANARY}:{CANARY}@127.0.0.1:9050", "socks5h://127.0.0.1:9050/***"),
        (f"slack://{CANARY}/b/c", "slack://***"),
        (f"mailto://me:{CANARY}@mail.example", "mailto://***"),
        (f"tgram://123:{CANARY}/456", "tgram://***"),
        (f"https://{CANARY}:x:y@[::1/", "https://***"),
        (f"https://h:{CANARY}/", "https://***"),
        (f"https://\x1b{CANARY}/", "https://***"),
        (f"{CANARY} ://x", "***"),
        (f"whsec_{CANARY}", "***"),
        ("", "***"),
    ],
)
def test_of_a_secret_only_the_receiver_is_shown(text: str, shown: str) -> None:
    secret = Secret(text)
    assert str(secret) == secret.shown == shown
    said = [repr(secret), f"{secret}", f"{secret!s:>30}", f"{secret} {secret!r}", repr([secret]), repr({secret: 1})]
    assert not [words for words in said if CANARY in words]
    assert secret.reveal() == text


def test_a_secret_does_not_get_into_a_traceback_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("-".join(("kanari", "7f3a")))
    try:
        raise ValueError(secret)
    except ValueError as error:
        written = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        logging.getLogger("alerts").error("failed with %s", secret, exc_info=True)
    assert CANARY not in written
    assert CANARY not in caplog.text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a")
    assert not Secret("")


def test_a_secret_is_struck_from_what_others_say() -> None:
    secret = Secret(f"https://h.example/{CANARY}")
    assert secret.struck_from(f"no route to https://h.example/{CANARY}!") == "no route to https://h.example/***!"
    assert Secret("").struck_from("abc") == "abc"
