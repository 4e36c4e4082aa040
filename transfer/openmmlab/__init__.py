"""Training and prediction with mmengine, mmcv, mmdet, mmseg and mmpose: the only package that imports them.

Importing it first makes the stack importable without compiled operators and without xtcocotools, here and in every
process that `multiprocessing` starts from here.
"""

from __future__ import annotations

from transfer.openmmlab.bridge import install_bridge, install_in_children
from transfer.openmmlab.cocotools import install_cocotools

install_bridge()
install_cocotools()
install_in_children()
