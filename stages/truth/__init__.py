"""The street world's truth in the place of SAM or of labels, as it is or made worse."""
