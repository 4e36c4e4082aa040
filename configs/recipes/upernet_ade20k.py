"""UPerNet on ADE20K: all levels of the trunk, the segmenter of transformers' papers.

Data:      ADE20K scene parsing, 150 classes: 20,210 training and 2,000 validation images, 255 ignored.
Schedule:  160,000 steps of 16 crops of 512x512 (127 epochs), AdamW, rate 6e-5 with 1,500 steps of warm-up, linear
           decay to 0, weight decay 0.01; scales 0.5 to 2, flips. Tested at full size, one scale, no flip.
Trunk:     all of it is fine-tuned, SyncBN; strides 4 to 32. The four maps of a plain ViT are resized by 4, 2, 1 and
           1/2 (BEiT's way). No dropout, stochastic depth or auxiliary head, so that the result does not depend on the
           number of processes.
Launch:    tools/eval.sh CKPT ade20k --tasks upernet       (8 GPUs: tools/dist.sh 8 CKPT ade20k --tasks upernet)
Expected:  no published value is known to us for this exact form.
"""

default_scope = "mmseg"
task = dict(kind="miou", dataset="ade20k", images_per_step=16)
crop_size = (512, 512)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", size=crop_size, pad_val=0, seg_pad_val=255),
    backbone=dict(type="TransferBackbone", frozen_stages=-1, norm="sync"),
    decode_head=dict(
        type="UPerHead",
        in_index=[0, 1, 2, 3],
        channels=512,
        pool_scales=(1, 2, 3, 6),
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

train_cfg = dict(type="IterBasedTrainLoop", max_iters=160_000)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1_500),
    dict(type="PolyLR", eta_min=0.0, power=1.0, by_epoch=False, begin=1_500, end=160_000),
]
