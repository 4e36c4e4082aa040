"""Scores from saved predictions: boxes, masks, keypoints, VOC, label maps. No network, no training loop."""
