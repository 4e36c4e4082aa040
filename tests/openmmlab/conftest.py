from __future__ import annotations

from transfer.openmmlab.stack import import_stack

import_stack()
