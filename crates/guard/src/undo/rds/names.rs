//! The names of the instances of an undo by RDS, the same each time for a run.

/// The name of the instance that undoes a run, the same each time.
pub(crate) fn name(source: &str, run: &str) -> String {
    named(source, "-undo-", run)
}

/// The name that the live instance gets by it.
pub(super) fn aside(source: &str, run: &str) -> String {
    named(source, "-before-undo-", run)
}

/// A name that RDS takes.
pub(crate) fn named(source: &str, between: &str, run: &str) -> String {
    const LONGEST: usize = 63;
    let tail = format!("{between}{}", run.to_ascii_lowercase());
    let mut kept = source.to_owned();
    kept.truncate(LONGEST - tail.len());
    format!("{}{tail}", kept.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_one_that_rds_takes_and_the_same_each_time() {
        let run = "20261121T024300Z-k3f9";
        assert_eq!(name("shop-prod", run), "shop-prod-undo-20261121t024300z-k3f9");
        for source in ["a".repeat(63), format!("{}-b", "a".repeat(35)), format!("{}-bcd", "a".repeat(36))] {
            for name in [name(&source, run), aside(&source, run)] {
                assert!(name.len() <= 63 && !name.contains("--") && name.ends_with("k3f9"), "{name}");
            }
        }
    }
}
