//! The program inside the container.
