"""Export converted backbones to other libraries, one module for each."""
