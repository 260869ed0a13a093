"""`goodsam ablate`: what each part is worth, as tables that are made by one command."""
