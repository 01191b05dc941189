"""fairdemo: see a text-to-image model's demographic bias, a debiased version of it, and choose the distribution."""
