//! What every client of AWS shares: whom TLS trusts, the proxy, credentials, region, and what counts as throttling.
//!
//! It knows no service. `repository` (S3) and `rds` make their clients from it, so that both find the same credentials
//! and the program has one TLS provider, ring, named explicitly: two providers in one program panic at run time.

mod classifier;
mod credentials;
mod http;
mod settings;

pub use classifier::TooManyRequests;
pub use credentials::CredentialSource;
pub use http::http_client;
pub use settings::{Address, Error, shared_config};
