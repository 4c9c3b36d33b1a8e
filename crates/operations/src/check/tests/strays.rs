//! Links, and names that holdpoint does not write.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn a_link_is_a_stray() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let link = folder.path().join("shop/restore-points/elsewhere");
    std::os::unix::fs::symlink("/", &link).unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let strays: Vec<_> = report.findings.iter().filter(|one| one.kind == FindingKind::Stray).collect();
    assert_eq!(strays.len(), 1, "nobody follows it: {strays:?}");
    assert_eq!(strays[0].place, "shop/restore-points/elsewhere");
    // An archive that somebody moved to another disk: nobody is told to remove the link, and it is missing all the same.
    std::fs::remove_file(&link).unwrap();
    let archive = folder.path().join(layout::archive(&context.database, &sample::point(1)));
    let moved = folder.path().join("moved.dump");
    std::fs::rename(&archive, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &archive).unwrap();
    let links = found(&context, &[FindingKind::Stray]).await;
    let [(place, words)] = links.as_slice() else { panic!("{links:?}") };
    let archive = layout::archive(&context.database, &sample::point(1));
    assert_eq!(*place, archive);
    assert_eq!(found(&context, &[FindingKind::Missing]).await[0].0, archive);
    assert!(words.contains("symbolic link") && words.contains("put what it leads to itself in its place"), "{words}");
}

/// Restore points that somebody moved to another disk.
#[tokio::test]
async fn a_link_to_all_restore_points_is_followed() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let context = with_a_point(folder.path()).await;
    let (points, moved) = (folder.path().join("shop/restore-points"), disk.path().join("points"));
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::rename(&points, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &points).unwrap();
    let kinds = [FindingKind::Stray, FindingKind::Permissions, FindingKind::Missing, FindingKind::NothingThere];
    assert_eq!(found(&context, &kinds).await, []);
    std::fs::set_permissions(moved.join(sample::point(1).as_str()), PermissionsExt::from_mode(0o755)).unwrap();
    let open = found(&context, &kinds).await;
    assert!(open.len() == 1 && open[0].0.contains(sample::point(1).as_str()), "{open:?}");
    context.repository.withdraw(&context.database, &sample::point(1), &[]).await.unwrap();
    assert_eq!(context.repository.points(&context.database).await.unwrap(), []);
    assert!(points.is_symlink() && moved.is_dir());
}

#[tokio::test]
async fn names_that_holdpoint_does_not_write_are_strays_and_keep_nothing_from_being_checked() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let point = folder.path().join(layout::point(&context.database, &sample::point(1)));
    let names =
        ["verifications/x y.json", "verifications/20261121T024300125Z-proved.json~", "pins/Odd Name.json", "\u{e4}"];
    for name in names {
        std::fs::create_dir_all(point.join(name).parent().unwrap()).unwrap();
        std::fs::write(point.join(name), "x").unwrap();
    }
    // No list shows a name that is no text.
    let no_text = std::os::unix::ffi::OsStringExt::from_vec(b"odd\xff".to_vec());
    std::fs::write(point.join::<std::ffi::OsString>(no_text), "x").unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    assert_eq!((report.points.len(), &report.points[0].standing), (1, &Standing::Unproven));
    let strays = found(&context, &[FindingKind::Stray]).await;
    assert!(strays.len() == 1 && strays[0].1.contains("4 more like it"), "{strays:?}");
    assert_eq!(found(&context, &[FindingKind::Unreadable]).await, []);
}
