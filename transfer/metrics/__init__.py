"""Scores from saved predictions: boxes, keypoints, label maps. No network, no training loop."""
