//! Why a text does not fit a Rust type, for the debug log.
//!
//! The message of a serde error contains the value that does not fit, which must not be logged. We
//! only take the parts of the message that come from the type.

use std::error::Error;

use tracing::{Level, field::display};

use crate::auth::{
    display::ShownText,
    token::json::{Malformed, array, object},
};

/// Logs the claim that does not fit the type of the private claims, and the reason. Neither
/// contains a value.
#[cold]
pub(crate) fn log_mismatch(payload: &str, error: &serde_json::Error) {
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    let mut claim = Vec::new();
    // With a malformed text, the path ends early
    let _ = path(payload, offset(payload, error), &mut claim);
    // empty if the payload as a whole does not fit, such as if a claim is missing
    let claim = (!claim.is_empty()).then(|| display(ShownText::new(&claim.join("."))));
    let reason = reason(error);
    let reason = reason
        .as_deref()
        .and_then(|reason| reason.rsplit_once(" at line "));
    let reason = reason.map(|(reason, _)| reason);
    tracing::debug!(claim, reason, "claims do not fit their type");
}

/// The part of a serde error's message that contains no value. `None` if the error may be that of a
/// type's own `Deserialize`, which can say anything.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> Option<String> {
    /// The beginnings of serde's messages that name what was expected. The value comes before it.
    const EXPECTING: [&str; 5] = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant `",
        "unknown field `",
    ];
    let message = error.to_string();
    let json = error.downcast_ref::<serde_json::Error>();
    let is_syntax = json.is_some_and(|error| !error.is_data());
    if is_syntax || message.starts_with("missing field `") {
        return Some(message);
    }
    if !EXPECTING.iter().any(|start| message.starts_with(start)) {
        return None;
    }
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(format!("expected {expected}"))
}

/// The number of bytes that were read before the error
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n');
    let before: usize = lines
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    before + error.column()
}

/// The names and indexes that lead to the value at `offset`
fn path(text: &str, offset: usize, found: &mut Vec<String>) -> Result<(), Malformed> {
    let parts: Vec<(String, &str)> = if text.trim_start().starts_with('{') {
        let members = object(text)?.into_iter();
        members
            .map(|(name, value)| (name.into_owned(), value))
            .collect()
    } else if text.starts_with('[') {
        let (items, _) = array(text, usize::MAX)?;
        let items = items.into_iter().enumerate();
        items
            .map(|(index, item)| (index.to_string(), item))
            .collect()
    } else {
        return Ok(());
    };
    for (name, part) in parts {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        if (start..=start + part.len()).contains(&offset) {
            found.push(name);
            return path(part, offset - start, found);
        }
    }
    Ok(())
}
