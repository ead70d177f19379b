//! What `gitignore` and `excludes` leave out, with git itself as the judge.

#![allow(clippy::unwrap_used)]

mod git;
mod patterns;
mod repositories;
mod tracked;
