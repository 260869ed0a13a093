"""`goodsam bench`: each module measures one part against its peers, on the same work in one run."""
