"""A linear segmenter on the frozen trunk's last map, on PASCAL VOC 2012.

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored.
Schedule:  40,000 steps of 16 crops of 512x512 (60 epochs), AdamW, rate 1e-3 with 1,500 steps of warm-up, linear decay
           to 0, weight decay 1e-4; scales 0.5 to 2, flips. Tested at full size, one scale, no flip.
Trunk:     nothing of it is tuned (`--tune full` tunes it: another protocol), and every trunk keeps its own stride:
           the score tells what its features say in place, ViTs of small patches at an advantage. A batch
           normalisation and a 1x1 convolution are all that is trained.
Launch:    tools/eval.sh CKPT voc-seg --tasks linear       (8 GPUs: tools/dist.sh 8 CKPT voc-seg --tasks linear)
Expected:  no published value is known to us for this exact form.
"""

default_scope = "mmseg"
task = dict(kind="miou", dataset="voc2012", images_per_step=16)
crop_size = (512, 512)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", size=crop_size, pad_val=0, seg_pad_val=255),
    backbone=dict(type="TransferBackbone", frozen_stages="all", norm="sync"),
    decode_head=dict(
        type="LinearHead",
        in_index=-1,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

train_dataloader = dict(
    dataset=dict(
        type="BaseSegDataset",
        img_suffix=".jpg",
        seg_map_suffix=".png",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations"),
            dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackSegInputs"),
        ],
    ),
)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type="BaseSegDataset",
        test_mode=True,
        img_suffix=".jpg",
        seg_map_suffix=".png",
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=(2048, 512), keep_ratio=True),
            dict(type="PackSegInputs"),
        ],
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=40_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3, weight_decay=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1_500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=1_500, end=40_000),
]
