"""The history and the steps it is made of."""
