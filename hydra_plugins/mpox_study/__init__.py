"""Hydra's plugins of this project: Hydra takes launchers and sweepers from the package `hydra_plugins` alone."""
