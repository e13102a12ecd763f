"""Settings: wazi.toml, WAZI_* variables and flags, laid over each other and checked before the first packet.

`sections` holds every setting with its default; `values` and `quantities` read what people write; `layers`
knows where each was said, `complaints` says what is wrong with it; `loading` puts them together.
"""

from probe.settings.layers import SettingsError
from probe.settings.loading import Settings, load, system_resolver

__all__ = ["Settings", "SettingsError", "load", "system_resolver"]
