//! Messages over HTTP: a health check, a webhook, a ping. Addresses are secrets and are never told.

mod deliver;
mod exchange;
mod masked;
mod signature;

pub use deliver::{Delivery, deliver};
pub use exchange::{check, exchange};
pub use masked::masked_json;
pub use signature::{SIGNATURE, TIMESTAMP, sign};
