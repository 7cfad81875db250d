//! Names of headers and of other values in a line of text.

use crate::service::cli::explain::pasted::{found::RequestFault, request::BLANKS, strings::after};

/// The header that usually has the token
pub(super) const AUTHORIZATION: &str = "authorization";

/// The trimmed value of a line that begins with the header `name`.
pub(super) fn value_of<'t>(line: &'t str, name: &str) -> Option<(&'t str, Option<RequestFault>)> {
    let rest = after(line, name)?;
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    let fault = (!rest.starts_with(':')).then_some(RequestFault::SpaceBeforeColon);
    Some((value.trim_matches(BLANKS), fault))
}

/// The name before a value: `name=`, `name: `, `"name": "`
pub(super) fn name_before(before: &str) -> Option<&str> {
    let before = before.trim_end_matches(['"', '\'', '`', ' ', '\t']);
    let before = before.strip_suffix(['=', ':'])?;
    let before = before.trim_end_matches(['"', '\'', '`', ' ', '\t']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name = before.rsplit(|c| !is_name(c)).next()?;
    (!name.is_empty()).then_some(name)
}
