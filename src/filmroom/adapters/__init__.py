"""What filmroom calls: one implementation of a port in each module, and the only place where foreign errors are seen."""
