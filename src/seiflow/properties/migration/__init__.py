"""Migration of an ion by vacancies: hops, saddles with their proof, percolation."""
