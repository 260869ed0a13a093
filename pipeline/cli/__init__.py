"""The command `goodsam`."""
