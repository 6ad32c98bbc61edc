"""Several processes behind one address: how they find each other, and do as one what cannot be done by each alone."""
