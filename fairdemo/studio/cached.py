"""functools' `cached_property`, which pyright doesn't take for the property that the protocol `Artist` asks
for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    cached_property = property
else:
    from functools import cached_property

__all__ = ["cached_property"]
