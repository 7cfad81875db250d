//! Helpers for strings: quotes, prefixes without regard to case, and invisible characters.

use crate::auth::display::is_visible;

/// `None` if there are no quotes.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    ["\"", "'", "`"]
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// The text after `start`, ignoring case. `None` if the text doesn't begin with `start`.
pub(in crate::service) fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// A character that a reader does not see. The usual whitespace does not count.
pub(in crate::service) fn is_invisible(c: char) -> bool {
    !is_visible(c) && !matches!(c, '\t' | '\r' | '\n')
}
