"""What stands on a backbone: each kind of head fitted to the backbone's levels and to the classes of the data."""
