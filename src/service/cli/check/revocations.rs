//! Checks the revocation file for entries that revoke nothing, or tokens that are issued later.

use std::collections::{BTreeMap, HashSet};

use crate::{
    auth::{display::ShownUrl, revocation::file},
    service::{
        cli::{check::report::Section, terminal::Mark},
        config::Config,
    },
};

/// The message names at most this many issuers
const MAX_NAMED: usize = 5;

/// `revoke` writes a time that is just after now. In seconds.
const AHEAD: f64 = 60.0;

/// Adds a finding for the file, and for each issuer in it that is not configured. The checks of the
/// configuration have already reported an invalid file.
pub(in crate::service) fn check(config: &Config, now: f64, section: &mut Section) {
    let Some(path) = &config.revocation_file else {
        return;
    };
    let tables = config.tables.iter().map(|table| &table.url);
    let known: HashSet<&String> = config.issuers.iter().chain(tables).collect();
    let (mut entries, mut later) = (0, 0);
    let mut others = BTreeMap::<String, usize>::new();
    let read = file::each(path, |entry| {
        entries += 1;
        let before = entry.before_seconds();
        later += usize::from(before.is_some_and(|before| before > now + AHEAD));
        let issuer = entry.issuer().to_owned();
        if !known.contains(&issuer) {
            *others.entry(issuer).or_default() += 1;
        }
    });
    if read.is_err() {
        return;
    }
    let text = format!("AUTH0_REVOCATION_FILE can be read: {entries} entries");
    section.add(Mark::Good, "", text);
    if later > 0 {
        let text = format!("{later} revocations also reject tokens that are issued from now on");
        let more = "their before is in the future; write it in seconds, not in milliseconds";
        section.add_more(Mark::Note, "", text, more);
    }
    for (issuer, entries) in others.iter().take(MAX_NAMED) {
        let issuer = ShownUrl::new(issuer);
        let text = format!(
            "{entries} revocations of {issuer} have no effect: it is not a configured issuer"
        );
        let more = "write iss exactly as the issuer's name, with its slash at the end";
        section.add_more(Mark::Note, "", text, more);
    }
}
