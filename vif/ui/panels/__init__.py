"""The parts of the page: components and their layout."""
