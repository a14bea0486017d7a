"""Properties: one module each, displace, evaluate, reduce."""
