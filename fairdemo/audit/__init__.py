"""The audit of a whole model: a study is planned, drawn in shards that survive any end, checked, and told."""
