//! `docs/dependencies.md` has a row for each crate in `Cargo.toml`, and every crate in `Cargo.lock`
//! is from crates.io. Licences and bans are checked by `just audit`, with cargo-deny.

use std::collections::BTreeSet;

const MANIFEST: &str = include_str!("../../Cargo.toml");
const LOCK: &str = include_str!("../../Cargo.lock");
const PAGE: &str = include_str!("../../docs/dependencies.md");

/// The crates in the manifest, whether they're keys or tables of their own.
fn named() -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    let mut in_table = false;
    for line in MANIFEST.lines() {
        if let Some(header) = line.strip_prefix('[') {
            let (header, _) = header.split_once(']').unwrap();
            // [dependencies], [target.'cfg(unix)'.dev-dependencies]
            in_table = header.ends_with("dependencies");
            // [dev-dependencies.serde_json]
            names.extend(header.split_once("dependencies.").map(|(_, name)| name));
        } else if in_table && !line.starts_with('#') {
            names.extend(line.split_once(" = ").map(|(name, _)| name));
        }
    }
    names
}

#[test]
fn every_dependency_has_its_reason() {
    let rows = || {
        PAGE.lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
    };
    let shown: BTreeSet<_> = rows().collect();
    assert_eq!(shown.len(), rows().count(), "a crate has two rows");
    assert!(named().contains("rustix") && named().contains("serde_json"));
    assert_eq!(shown, named());
}

#[test]
fn every_crate_is_from_crates_io() {
    let packages: Vec<_> = LOCK.split("\n[[package]]\n").skip(1).collect();
    assert!(packages.len() > 100, "{}", packages.len());
    for package in packages {
        let lines: BTreeSet<_> = package.lines().collect();
        let source = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        let is_ours = lines.contains("name = \"warp-bearer\"");
        assert!(is_ours || lines.contains(source), "{package}");
        let has_checksum = package.contains("\nchecksum = \"");
        assert!(is_ours || has_checksum, "{package}");
    }
}
