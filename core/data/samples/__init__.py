"""Sample sets on disk: one vector a modality and a target each; one file per format, all ending in `Samples`."""
