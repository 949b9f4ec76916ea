"""Does synthesis help to find lesions? Segmentation with sequences real, synthesized and dropped (Fig. 2c)."""
