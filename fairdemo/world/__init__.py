import os

from fairdemo import places

# Compiled functions are kept beside the code, or where it is installed beside what else the program writes.
# Numba reads this when it is imported.
if places.INSTALLED:
    os.environ.setdefault("NUMBA_CACHE_DIR", str(places.home() / "numba"))
