//! The table of all issuers in the issuers file, which is shown last.

use crate::service::{
    cli::{check::report::Section, terminal::Mark},
    config::{Config, IssuerSettings},
};

/// An issuer, and the requirements for its tokens
pub(in crate::service) struct Row {
    mark: Mark,
    url: String,
    text: String,
    place: String,
}

/// The row has the worst mark of the issuer's section.
pub(in crate::service) fn row(table: &IssuerSettings, own: &Config, section: &Section) -> Row {
    let algorithms: Vec<_> = own.algorithms.iter().map(|alg| alg.as_str()).collect();
    let claim = table.audience_claim.unwrap_or_default();
    let mut text = format!(
        "{claim}: {}; {}",
        own.audiences.join(" or "),
        algorithms.join(", ")
    );
    if let Some(preset) = table.preset {
        text.push_str("; as ");
        text.push_str(preset.name);
    }
    if let Some(note) = table.preset.and_then(|preset| preset.note) {
        text.push_str("; ");
        text.push_str(note);
    }
    Row {
        mark: section.mark(),
        url: table.url.clone(),
        text,
        place: table.place.clone(),
    }
}

pub(in crate::service) fn table(rows: Vec<Row>) -> Section {
    let mut section = Section::new(format!("Issuers ({})", rows.len()));
    for row in rows {
        section.add_more(row.mark, &row.url, row.text, row.place);
    }
    section
}
