"""`python -m sluice.controllers`."""

import signal
import sys

# The first process of a container does not end by a SIGTERM that it has said nothing about, and to load takes a second.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from sluice.controllers.main import main  # noqa: E402

sys.exit(main())
