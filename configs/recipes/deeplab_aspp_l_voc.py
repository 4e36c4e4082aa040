"""DeepLab-ASPP-L on PASCAL VOC 2012, as JFT-300M was judged (Sun et al., ICCV 2017, section 5.3).

Data:      VOC 2012 trainaug (10,582 images with the SBD annotations) and val (1,449), 21 classes, 255 ignored.
Schedule:  30,000 steps of 6 crops of 513x513, SGD, rate 1e-3, polynomial decay of power 0.9 to 0, weight decay 5e-4;
           images at their own size (500 pixels a side at most) times 0.5 to 1.5, flips. Tested at that size inside
           513x513, one scale, no flip, no CRF.
Trunk:     output stride 8 by dilation, so that 65x65 cells lie at the pixels 0, 8, ..., 512 of a crop; SyncBN.
           Convolutional trunks only. The four branches are all that follows conv5: rates 6, 12, 18, 24, class scores
           summed. The paper states one rate for all layers, and neither scales nor norm policy: those are DeepLab's
           and this leaderboard's.
Launch:    tools/eval.sh CKPT jft-protocol --tasks segmentation      (6 GPUs: tools/dist.sh 6 CKPT jft-protocol)
Expected:  for ResNet-101 the paper prints gains over ImageNet alone of 1.7 mIoU (JFT-300M) and 2.9 (ImageNet and
           JFT-300M); no published value is known to us for this exact form.
"""

default_scope = "mmseg"
task = dict(kind="miou", dataset="voc2012", images_per_step=6, stride=8)
crop_size = (513, 513)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor", size=crop_size, pad_val=0, seg_pad_val=255, test_cfg=dict(size=crop_size)
    ),
    backbone=dict(type="TransferBackbone", output_stride=8, frozen_stages=-1, norm="sync"),
    decode_head=dict(
        type="DeepLabASPPLHead",
        in_index=-1,
        dilations=(6, 12, 18, 24),
        align_corners=True,
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
            dict(type="RandomResize", scale=(500, 500), ratio_range=(0.5, 1.5), keep_ratio=True),
            dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=1.0),
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
            dict(type="Resize", scale=(500, 500), keep_ratio=True),
            dict(type="PackSegInputs"),
        ],
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=30_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=0.0005))
param_scheduler = [dict(type="PolyLR", eta_min=0.0, power=0.9, by_epoch=False, begin=0, end=30_000)]
