"""A migrating process for tests: `migrate.py FOLDER DATABASE_URL`."""

import sys
from pathlib import Path

from spacehub import migrating

migrating.upgrade(Path(sys.argv[1]), sys.argv[2])
