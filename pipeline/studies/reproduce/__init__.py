"""`goodsam reproduce`: the paper's training and test, to a table beside the published rows."""
