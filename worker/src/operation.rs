//! Backups, restores, verifications and unmounts: one at a time, in the order they
//! were asked for, each watched and cancelled by whoever likes. What was begun is in
//! a journal, so that what is interrupted is settled.

pub mod cancellation;
pub mod progress;
pub mod queue;
mod recover;
