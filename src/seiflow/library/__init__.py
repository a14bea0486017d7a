"""The library of structures: found, shown, built, checked, added to and given away."""
