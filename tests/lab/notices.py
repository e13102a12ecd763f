"""Block pages that are known in the lab, and the list of fingerprints by which the probe knows them there.

The lab's country is ZZ, which a list takes for any country.
"""

from __future__ import annotations

from tests.lab.topology import BLOCK_PAGE

WORDS = "closed by order 4711 of the Office of Quiet"
TITLE = "Notice 4711"
ELSEWHERE = "barred by the Agency of Elsewhere"
SCHOOL = "QuietLearn keeps this classroom quiet"
LOCATION = f"http://{BLOCK_PAGE}/notice-4711"
ADDRESS = "198.51.100.99"  # where the ISP's resolver sends people; nothing listens there

FINGERPRINTS = f"""\
name,scope,other_names,location_found,pattern_type,pattern,confidence_no_fp,expected_countries,source,exp_url,notes
lab.words,isp,,body,contains,{WORDS},9,ZZ,the lab,,
lab.title,isp,,title,full,{TITLE},9,,the lab,,
lab.redirect,isp,,header.location,prefix,{LOCATION},9,ZZ,the lab,,
lab.address,isp,,dns,full,{ADDRESS},9,ZZ,the lab,,
lab.elsewhere,nat,,body,contains,{ELSEWHERE},10,KE,the lab,,
lab.school,inst,,body,regexp,QuietLearn.+classroom,9,,the lab,,
"""


def notice(words: str, title: str = "Sorry") -> str:
    """Return a page that says why there is no other."""
    return f"<html><head><title>{title}</title></head><body><p>This page was {words}.</p></body></html>\n"
