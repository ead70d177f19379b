//! The Durable Object that backs up and restores, and its HTTP routes.
