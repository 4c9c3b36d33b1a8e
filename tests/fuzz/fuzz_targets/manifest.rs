//! Manifests over arbitrary bytes: what is accepted can be written and read again, and stays the same.

#![no_main]

use holdpoint_core::{Manifest, PointId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let Ok(id) = "20261121T024300Z-k3f9".parse::<PointId>() else { unreachable!("it is an id") };
    let Ok(manifest) = Manifest::from_json(json, &id) else { return };
    let Ok(written) = manifest.to_json() else { return };
    assert_eq!(Manifest::from_json(&written, &id).ok(), Some(manifest));
});
