//! Where backups are kept: object keys, metadata, and the presigned URLs that
//! let the agent move archives without ever holding a credential.
//!
//! The Durable Object itself works through the R2 binding only. R2 lets an
//! upload that the binding created take its parts through the S3 API, so the
//! two modes of transfer differ in nothing but whom the URLs point to.

pub mod bucket;
pub mod database;
pub mod gateway;
pub mod index;
pub mod journal;
pub mod keys;
pub mod log;
pub mod presign;
pub mod sigv4;
