import os

from fairdemo import places

# Where numba keeps compiled functions, which it reads when it is imported: beside the code in a checkout that
# can be written to, else beside what else the program writes.
if places.INSTALLED or not places.writable(places.PACKAGE / "world"):
    os.environ.setdefault("NUMBA_CACHE_DIR", str(places.own_folder("numba")))
