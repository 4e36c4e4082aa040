"""A linear segmenter on the frozen trunk's last map, on ADE20K: the VOC recipe on other data.

Data:      ADE20K scene parsing, 150 classes: 20,210 training and 2,000 validation images, 255 ignored.
Schedule:  40,000 steps of 16 crops of 512x512 (32 epochs), all as in linear_voc.
Trunk:     nothing of it is tuned; every trunk keeps its own stride.
Launch:    tools/eval.sh CKPT ade20k --tasks linear        (8 GPUs: tools/dist.sh 8 CKPT ade20k --tasks linear)
Expected:  no published value is known to us for this exact form.
"""

_base_ = "./linear_voc.py"

task = dict(dataset="ade20k")
