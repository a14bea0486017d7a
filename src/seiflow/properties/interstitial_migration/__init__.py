"""Interstitial hops of the mobile ion, direct and by knock-off."""
