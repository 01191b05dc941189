"""The whole chain on real weights, measured by anybody who has them (`fairdemo prove`)."""
