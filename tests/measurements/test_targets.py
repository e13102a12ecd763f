"""Targets: one normal form for every URL, refusals in words, and lists read whole."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from measurements.model import Target
from measurements.targets import MAX_URL, BadTarget, normalise, normalise_host, read_targets


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.org.:443/A?b=C#d", "https://example.org/A?b=C"),
        ("http://example.org:80", "http://example.org/"),
        ("http://example.org:0443/", "http://example.org:443/"),
        ("https://example.org:/", "https://example.org/"),
        ("https://example.org?q", "https://example.org/?q"),
        ("https://example.org/?", "https://example.org/?"),
        ("https://Bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://ＥＸＡＭＰＬＥ．org/", "https://example.org/"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("http://Яндекс.рф/", "http://xn--d1acpjx3f.xn--p1ai/"),
        ("https://r3---sn-apo3.example/", "https://r3---sn-apo3.example/"),
        ("https://my_site.example/", "https://my_site.example/"),
        ("https://192.0.2.1./", "https://192.0.2.1/"),
        ("https://１９２.0.2.1/", "https://192.0.2.1/"),
        ("https://[2001:DB8:0::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("https://example.org/%7ea%c3%A9/é", "https://example.org/%7Ea%C3%A9/%C3%A9"),
        ("https://example.org/100%/%zz", "https://example.org/100%25/%25zz"),
        ("https://example.org/a/./b/../c", "https://example.org/a/c"),
        ("https://example.org/a/%2e%2E/b/.", "https://example.org/b/"),
        ("https://example.org/../../..", "https://example.org/"),
        ("https://example.org//a//", "https://example.org//a//"),
        ("https://example.org/?a=../b&c='d'\\", "https://example.org/?a=../b&c=%27d%27\\"),
        ('https://example.org/"<>{}^`|[]', "https://example.org/%22%3C%3E%7B%7D%5E%60|[]"),
    ],
)
def test_a_url_has_one_normal_form(url: str, normal: str) -> None:
    assert normalise(url).url == normal
    assert normalise(normal).url == normal


def test_a_target_holds_its_parts() -> None:
    assert normalise("https://[2001:db8::1]:8443/x", category="NEWS", country="TZ") == Target(
        url="https://[2001:db8::1]:8443/x",
        scheme="https",
        host="2001:db8::1",
        port=8443,
        category="NEWS",
        country="TZ",
    )
    assert normalise("http://example.org/").port == 80


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("example.org", "https://example.org/"),
        ("example.org:8080/a//b", "https://example.org:8080/a//b"),
        ("//example.org/a", "https://example.org/a"),
        ("localhost:8080", "https://localhost:8080/"),
        ("192.0.2.1", "https://192.0.2.1/"),
        ("[2001:db8::1]:80", "https://[2001:db8::1]:80/"),
        ("http://router/", "http://router/"),
    ],
)
def test_what_a_person_types_is_taken_as_meant(typed: str, normal: str) -> None:
    assert normalise(typed, default_scheme="https").url == normal


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is empty"),
        ("example.org", "has no scheme; write https:// before it"),
        ("//example.org/", "has no scheme"),
        ("/page", "has no scheme"),
        ("ftp://example.org/", "has the scheme ftp; only http and https are asked"),
        ("mailto:someone@example.org", "has the scheme mailto"),
        ("javascript:alert(1)", "has the scheme javascript"),
        ("https:example.org", "has no // after https:"),
        ("https:/example.org", "has no // after https:"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https://:443/", "names no host"),
        ("https://user:secret@example.org/", "holds a user name or password"),
        ("https://good.example\\@bad.example/", "holds a backslash"),
        ("https://example.org:0/", "has the port 0; a port is from 1 to 65535"),
        ("https://example.org:65536/", "has the port 65536"),
        ("https://example.org:" + "9" * 5000, "a port is from 1 to 65535"),
        ("https://example.org:http/", "has the port http, which is no number"),
        ("https://example.org:８０/", "which is no number"),
        ("https://example.org:-1/", "has the port -1, which is no number"),
        ("https://a..b/", "has an empty label"),
        ("https://.example.org/", "has an empty label"),
        ("https://example.org../", "has an empty label"),
        ("https://./", "has an empty label"),
        ("https://\u00ad/", "has an empty label"),
        (f"https://{'a' * 64}.org/", "has a label of 64 characters"),
        (f"https://{'ü' * 60}.org/", "IDNA: Label too long"),
        (f"https://{'.'.join(['a' * 63] * 4)}/", "has a host of 255 characters"),
        (f"https://example.org/{'a' * MAX_URL}", f"is longer than {MAX_URL} characters"),
        (f"https://example.org/{'é' * (MAX_URL // 4)}", f"is longer than {MAX_URL} characters"),
        ("https://exa mple.org/", "holds a space; write it as %20"),
        ("https://example.org/\u3000", "holds a space"),
        ("https://example.org/\n", "holds a space"),
        ("https://example.org/\x00", "holds a control character (U+0000)"),
        ("https://example.org/\x85", "holds a space"),
        ("https://example.org/\x9b", "holds a control character (U+009B)"),
        ("https://example.org/\ud800", "holds a control character (U+D800)"),
        ("https://ex%61mple.org/", "has the host label ex%61mple"),
        ("https://exam!ple.org/", "has the host label exam!ple"),
        ("https://ａ／b.example/", "has the host label a/b"),
        ("https://\u2764.example/", "has a host that is no name (IDNA"),
        ("https://\ufffd.example/", "has a host that is no name (UTS-46"),
        ("https://0x7f.1/", "write four decimal numbers, such as 192.0.2.1"),
        ("https://127.1/", "ends in a number as an IPv4 address does"),
        ("https://2130706433/", "write four decimal numbers"),
        ("https://0x7f000001/", "write four decimal numbers"),
        ("https://192.0.2.010/", "write four decimal numbers"),
        ("https://192.0.2.256/", "write four decimal numbers"),
        ("https://[fe80::1%25eth0]/", "has an IPv6 address with a zone"),
        ("https://[::1/", "has brackets that do not close"),
        ("https://[::1]x/", "has brackets that do not close"),
        ("https://[192.0.2.1]/", "is no IPv6 address"),
        ("https://2001:db8::1/", "write an IPv6 address in brackets"),
    ],
)
def test_what_is_not_asked_is_refused_in_words(url: str, reason: str) -> None:
    with pytest.raises(BadTarget) as refused:
        normalise(url)
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("facebook", "is one word; write the site's whole name"),
        ("example.org:x/", "has the port x, which is no number"),
        ("localhost:", "has the scheme localhost"),
        ("https:443", "is one word"),
    ],
)
def test_what_a_person_mistypes_is_refused_in_words(typed: str, reason: str) -> None:
    with pytest.raises(BadTarget, match=reason):
        normalise(typed, default_scheme="https")


@pytest.mark.parametrize(
    "url", ["https://u:secret@example.org/", "ftp://u:secret@example.org/", "u:secret@example.org"]
)
def test_a_refusal_never_repeats_a_password(url: str) -> None:
    with pytest.raises(BadTarget) as refused:
        normalise(url)
    assert "secret" not in str(refused.value)


def test_a_host_alone_is_written_as_in_a_url() -> None:
    assert normalise_host("WWW.Bücher.example.") == "www.xn--bcher-kva.example"
    with pytest.raises(BadTarget, match="has the host label a:b"):
        normalise_host("a:b")


URLISH = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab.:/?#%2eE@[]\\'\"é。１ -_~|", max_size=40),
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP"]),
        st.one_of(
            st.sampled_from(
                ["example.org", "Bücher.example.", "[::1]", "192.0.2.1", "例え。テスト", "xn--bcher-kva.example"]
            ),
            st.ip_addresses(v=6).map("[{}]".format),
            st.ip_addresses(v=4).map(str),
            st.text(alphabet="abz-_.üß١א", min_size=1, max_size=12),
        ),
        st.sampled_from(["", ":80", ":443", ":8080"]),
        st.text(alphabet="/.%2e?#é'~\"{}^`", max_size=20).map(lambda tail: f"/{tail}"),
    ),
)


@given(URLISH, st.sampled_from([None, "https"]))
@example("https://example.org/%2%32e/..", None)
@example("https://example.org/.%2%45", None)
def test_normalising_twice_changes_nothing_more(url: str, default_scheme: str | None) -> None:
    try:
        once = normalise(url, default_scheme=default_scheme)
    except BadTarget:
        return
    assert normalise(once.url) == once
    assert once.url.isascii()
    assert once.host == once.host.lower().strip(".")
    if ":" in once.host:
        assert once.host == str(ipaddress.ip_address(once.host))


@given(st.text(max_size=300), st.booleans())
def test_any_text_is_a_list_or_is_refused(text: str, skip_bad_lines: bool) -> None:
    try:
        targets, _ = read_targets(text, "list", skip_bad_lines=skip_bad_lines)
    except BadTarget:
        return
    assert len({target.url for target in targets}) == len(targets) > 0


CITIZEN_LAB = """\
url,category_code,category_description,date_added,source,notes
https://example.org/,NEWS,News Media,2026-11-23,us,
http://example.com/a?b,grp,Social Networking,2026-11-23,us,"one, two
three"

https://example.net,HUMR,Human Rights Issues,2026-11-23,us,last
"""


def test_a_list_in_the_citizen_lab_columns_is_read() -> None:
    targets, problems = read_targets(CITIZEN_LAB, "global.csv")
    assert [(t.url, t.category) for t in targets] == [
        ("https://example.org/", "NEWS"),
        ("http://example.com/a?b", "GRP"),
        ("https://example.net/", "HUMR"),
    ]
    assert problems == []


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffurl,category_code\nhttps://example.org/,NEWS",
        "# ours\r\n\r\nNotes,URL,Category_Code,more\r\nx,https://example.org/,news,y\r\n",
        "url;category_code\nhttps://example.org/;NEWS\n",
        "category_code\turl\nNEWS\thttps://example.org/\n",
        '"url","category_code"\n"https://example.org/","NEWS"\n# done,\n',
        "url,category_code\rhttps://example.org/ , NEWS \r",
    ],
)
def test_columns_may_come_in_any_order_and_dress(text: str) -> None:
    targets, problems = read_targets(text, "list")
    assert [(t.url, t.category) for t in targets] == [("https://example.org/", "NEWS")]
    assert problems == []


def test_a_plain_list_has_one_url_a_line() -> None:
    text = "# sites\n\n https://example.org/#top  # the first\r\nhttps://example.com/a,b\n"
    targets, problems = read_targets(text, "list.txt")
    assert [t.url for t in targets] == ["https://example.org/", "https://example.com/a,b"]
    assert problems == []


def test_a_column_gives_the_country() -> None:
    targets, _ = read_targets("url,country\nhttps://example.org/,tz\n", "list")
    assert targets[0].country == "TZ"


def test_every_bad_line_is_named_before_anything_is_asked() -> None:
    text = CITIZEN_LAB + "ftp://example.org/,FILE,,,,\n,NEWS,,,,\n"
    with pytest.raises(BadTarget) as refused:
        read_targets(text, "global.csv")
    assert str(refused.value).splitlines() == [
        "global.csv line 7: ftp://example.org/ has the scheme ftp; only http and https are asked",
        "global.csv line 8: the column url is empty",
    ]


def test_bad_lines_can_be_left_out_and_are_still_named() -> None:
    targets, problems = read_targets("https://example.org/\nnonsense\n", "list", skip_bad_lines=True)
    assert [t.url for t in targets] == ["https://example.org/"]
    assert problems == ["list line 2: nonsense has no scheme; write https:// before it"]


def test_a_target_named_twice_is_asked_once_and_said() -> None:
    targets, problems = read_targets("https://example.org\n\nHTTPS://EXAMPLE.ORG:443/\n", "list")
    assert [t.url for t in targets] == ["https://example.org/"]
    assert problems == ["list line 3: https://example.org/ is on line 1 already"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list holds no URL that can be asked"),
        ("url,category_code\n", "list holds no URL that can be asked"),
        ("https://example.org/,NEWS\n", "list line 1: this is CSV, so the first line must name the columns"),
        ('url,notes\nhttps://example.org/,"x\ny\n', "list line 2: no CSV from here on"),
        ("category_code,url\nNEWS\n", "list line 2: the column url is empty"),
        ("site,category_code\nhttps://example.org/,NEWS\n", "list line 1: site,category_code has no scheme"),
    ],
)
def test_a_list_that_cannot_be_read_says_where(text: str, message: str) -> None:
    with pytest.raises(BadTarget) as refused:
        read_targets(text, "list")
    assert str(refused.value).startswith(message)


def test_skipping_every_line_leaves_nothing_to_ask() -> None:
    with pytest.raises(BadTarget, match="holds no URL that can be asked\nlist line 1: "):
        read_targets("nonsense\n", "list", skip_bad_lines=True)
