"""`mini`: a data set drawn from a seed, in COCO's layout, for detection, segmentation and pose in minutes."""
