"""What a server must bear: many visitors, long use, hostile input, things that break.

`python -m tests.soak` runs all of it; the suite runs each in short."""
