"""No-reference video quality assessment from a pool of frozen pretrained models (PTM-VQA, CVPR 2024)."""
