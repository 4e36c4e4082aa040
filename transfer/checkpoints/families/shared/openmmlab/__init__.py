"""What files of OpenMMLab's libraries look like: their names, and the config text that they carry."""
