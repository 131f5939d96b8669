"""What a campaign can do with each PSP that the sandbox PSP plays."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Which ways of paying a PSP has, as far as a campaign walks them."""

    cards: bool = True
    debits: bool = True


PROFILES: Mapping[str, Profile] = {
    "sandbox": Profile(),
    "stripe": Profile(),
    "gocardless": Profile(cards=False),
    "billwerk_pay": Profile(debits=False),
}
