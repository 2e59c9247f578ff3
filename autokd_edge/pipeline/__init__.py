"""From a study to a bundle: stages, evaluation, the loop and shipping; knows ports, not adapters."""
