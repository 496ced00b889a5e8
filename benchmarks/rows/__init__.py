"""One module for each row of the table; `row` measures it, and returns None where it cannot be measured."""
