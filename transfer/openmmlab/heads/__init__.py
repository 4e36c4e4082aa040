"""What stands on a trunk: each kind of head fitted to the trunk's levels and to the classes of the data."""
