"""The only place that imports mmengine, mmcv, mmdet, mmseg and mmpose.

Importing this package makes the stack importable without compiled mmcv operators and without xtcocotools, in every
process: what OpenMMLab unpickles in a spawned worker is wrapped in classes of this package, which are imported first.
"""

from transfer.openmmlab.bridge import install_bridge
from transfer.openmmlab.cocotools import install_cocotools
from transfer.openmmlab.stack import import_stack

install_bridge()
install_cocotools()
import_stack()
