"""Everything in one command: recipe, preview, price, both stages, evaluation and export."""
