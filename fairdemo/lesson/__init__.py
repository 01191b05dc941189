"""A class: rooms with a teacher and students, what they guess and wish, and what is kept of it."""
