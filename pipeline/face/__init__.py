"""goodsam."""
