"""Which backbones see quality."""
