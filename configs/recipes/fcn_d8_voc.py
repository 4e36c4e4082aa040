"""Fully convolutional segmentation at stride 8 (FCN-D8) on PASCAL VOC 2012.

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored.
Schedule:  30,000 steps of 16 crops of 513x513 (45 epochs), SGD, rate 0.01, polynomial decay of power 0.9, weight
           decay 5e-4; scales 0.5 to 2, flips. Tested at full size, one scale, no flip.
Trunk:     output stride 8 by dilation: convolutional trunks only; SyncBN. Two 3x3 convolutions, their output beside
           their input, then the classifier. No dropout and no auxiliary head, so that the result does not depend on
           the number of processes.
Launch:    tools/eval.sh CKPT voc-seg-d8                  (8 GPUs: tools/dist.sh 8 CKPT voc-seg-d8)
Expected:  no published value is known to us for this exact form.
"""

default_scope = "mmseg"
task = dict(kind="miou", dataset="voc2012", images_per_step=16, stride=8)
crop_size = (513, 513)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", size=crop_size, pad_val=0, seg_pad_val=255),
    backbone=dict(type="TransferBackbone", output_stride=8, frozen_stages=-1, norm="sync"),
    decode_head=dict(
        type="FCNHead",
        in_index=-1,
        channels=512,
        num_convs=2,
        concat_input=True,
        dropout_ratio=0.0,
        norm_cfg=dict(type="BN", requires_grad=True),
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
            dict(type="RandomResize", scale=(2048, 513), ratio_range=(0.5, 2.0), keep_ratio=True),
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
            dict(type="Resize", scale=(2048, 513), keep_ratio=True),
            dict(type="PackSegInputs"),
        ],
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=30_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0005))
param_scheduler = [dict(type="PolyLR", eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=30_000)]
