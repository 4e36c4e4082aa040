"""Files of OpenMMLab's libraries: the names of their tensors, and the config text that they carry."""
