from numba import config

from fairdemo import places

# Compiled functions are kept beside the code, or beside what else the program writes where it is installed.
if places.INSTALLED and not config.CACHE_DIR:
    config.CACHE_DIR = str(places.home() / "numba")
