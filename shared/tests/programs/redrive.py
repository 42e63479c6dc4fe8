"""A redrive for tests: `redrive.py URL QUEUE RATE`, in a process that can be killed half-way."""

import asyncio
import sys

from spacehub import dead_letters
from spacehub.topology import WorkQueue

url, queue, rate = sys.argv[1:]
asyncio.run(dead_letters.redrive(url, WorkQueue(queue, ()), per_second=float(rate)))
