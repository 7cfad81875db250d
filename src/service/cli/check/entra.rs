//! Checks an issuer of Microsoft Entra ID: the version of its tokens.
//!
//! An application gets tokens of version 1 unless its manifest requests version 2. The two versions
//! have different issuers and audiences but the same tenant, so no other check notices a mismatch.

use reqwest::Url;

use crate::service::cli::{
    check::report::Section, context::Context, entra::application_id, terminal::Mark,
};

/// Does nothing if the issuer is not Entra ID
pub(in crate::service) fn check(issuer: &str, context: &Context<'_>, section: &mut Section) {
    let Some((tenant, version)) = version(issuer) else {
        return;
    };
    if is_of_no_tenant(issuer) {
        let text = "this issuer names no tenant, and every token names its own";
        let more = format!("write the tenant's ID in the place of {tenant}");
        section.add_more(Mark::Note, "Entra", text, more);
        return;
    }
    let (text, more) = if version == 2 {
        (
            "this issuer issues v2.0 tokens",
            format!(
                "set requestedAccessTokenVersion (accessTokenAcceptedVersion) to 2 in the manifest of \
                 the API; otherwise, tokens are from https://sts.windows.net/{tenant}/"
            ),
        )
    } else {
        (
            "this issuer issues v1.0 tokens",
            format!(
                "with requestedAccessTokenVersion 2 in the manifest of the API, tokens are from \
                 https://login.microsoftonline.com/{tenant}/v2.0"
            ),
        )
    };
    section.add_more(Mark::Plain, "Entra", text, more);
    let of_version_1 = |audience: &&String| audience.starts_with("api://");
    let audiences = &context.config.audiences;
    if version == 2
        && let Some(audience) = audiences.iter().find(of_version_1)
        && audiences
            .iter()
            .all(|audience| audience.starts_with("api://"))
    {
        let text = "v2.0 tokens have the application's ID as aud, without api://";
        let more = match application_id(audience) {
            Some(id) => format!("set AUTH0_API_AUDIENCE to {id} if that is the application's ID"),
            None => "set AUTH0_API_AUDIENCE to the application's ID".to_owned(),
        };
        section.add_more(Mark::Note, "Entra", text, more);
    }
}

/// A name such as `common` stands for many tenants. No token has such an issuer.
pub(in crate::service) fn is_of_no_tenant(issuer: &str) -> bool {
    version(issuer).is_some_and(|(tenant, _)| {
        ["common", "organizations", "consumers"].contains(&tenant.as_str())
    })
}

/// The tenant and the token version of an issuer, or `None` if it isn't Entra ID.
fn version(issuer: &str) -> Option<(String, u8)> {
    let url = Url::parse(issuer).ok()?;
    let mut path = url.path_segments()?;
    let tenant = path.next().filter(|tenant| !tenant.is_empty())?.to_owned();
    match (url.host_str()?, path.next()) {
        ("sts.windows.net", _) => Some((tenant, 1)),
        ("login.microsoftonline.com", Some("v2.0")) => Some((tenant, 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_the_token_version_by_issuer() {
        let of = |version: u8| Some(("t".to_owned(), version));
        for (issuer, expected) in [
            ("https://sts.windows.net/t/", of(1)),
            ("https://login.microsoftonline.com/t/v2.0", of(2)),
            ("https://login.microsoftonline.com/t/v2.0/", of(2)),
            ("https://login.microsoftonline.com/t/", None),
            ("https://sts.windows.net/", None),
            ("https://tenant.eu.auth0.com/", None),
            ("urn:issuer", None),
        ] {
            assert_eq!(version(issuer), expected, "{issuer}");
        }
    }
}
