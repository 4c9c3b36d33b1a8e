//! A database, its restore points and their manifests, for every test binary of this crate.

use holdpoint_core::{DatabaseName, Manifest, PointId, layout};
use serde_json::json;

/// When everything here happens.
pub(crate) const NOW: &str = "2026-11-21T02:43:00Z";

pub(crate) fn shop() -> DatabaseName {
    "shop".parse().unwrap()
}

/// A restore point of that moment; they sort by `n`.
pub(crate) fn point(n: u64) -> PointId {
    PointId::new(NOW.parse().unwrap(), n)
}

pub(crate) fn identity() -> serde_json::Value {
    json!({"system_identifier": "1", "database_oid": 5, "database": "shop", "timeline": 1, "endpoint": "h:5432", "resource_id": null})
}

/// What a restore point is made of beside its manifest, as [`manifest`] tells it.
pub(crate) fn objects(id: &PointId) -> [(String, &'static str); 3] {
    [(layout::archive(&shop(), id), "rows"), (layout::index(&shop(), id), "x"), (layout::globals(&shop(), id), "roles")]
}

/// A verification that proved it in full.
#[allow(dead_code, reason = "not every binary needs one")]
pub(crate) fn proof(id: &PointId) -> serde_json::Value {
    json!({
        "format": 1, "point": id, "level": "full", "verdict": "proved", "started_at": NOW, "took_ms": 1,
        "restore_took_ms": null, "measured_on": "local", "manifest_sha256": "00", "archive_sha256": null, "bytes_read": 1,
        "compared": {"tables": 0, "rows": 0, "sequences": 0, "large_objects": 0, "objects": 0}
    })
}

/// The manifest of an empty database.
pub(crate) fn manifest(id: &PointId) -> Manifest {
    let [archive, index, globals] = objects(id);
    let stored = |(key, text): (String, &str)| json!({"key": key, "bytes": text.len(), "sha256": "00"});
    let value = json!({
        "format": 1, "id": id, "database": "shop", "repository_id": "r", "holdpoint_version": "0", "stored_as": "archive",
        "identity": identity(),
        "server": {"version_num": 180006, "version": "18.6", "encoding": "UTF8", "locale_provider": "libc", "collate": "C",
            "ctype": "C", "locale": null, "collation_version": null, "lc_monetary": "C", "xmloption": "content"},
        "client_version": "pg_dump", "client_major": 18, "snapshot": {"at": NOW, "wal_position": null, "timeline": 1, "standby": false},
        "timings": {"started_at": NOW, "stored_for_ms": 1}, "codec": "none", "extensions": [],
        "database_properties": {"owner": "o", "grants": null, "comment": null, "settings": [], "connection_limit": -1},
        "totals": {"tables": 0, "rows": 0, "data_bytes": 0, "large_objects": 0, "large_object_bytes": 0, "sequences": 0,
            "objects": 0, "database_bytes": 0},
        "archive": {"key": archive.0, "bytes": archive.1.len(), "head_bytes": 0, "head_sha256": "", "root_sha256": "", "crc64nvme": null,
            "archive_version": null},
        "index": stored(index), "globals": stored(globals), "recipe": []
    });
    serde_json::from_value(value).unwrap()
}
