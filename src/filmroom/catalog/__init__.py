"""What we have: the tables of the catalog, and the closed language in which they are asked."""
