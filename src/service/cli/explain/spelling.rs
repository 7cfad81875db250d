//! Compares two names that may be the same apart from their spelling.

pub(super) fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// Drops what is easily overlooked in a URL: scheme, default port, case, white space and trailing
/// slash.
pub(super) fn loose(url: &str) -> String {
    let url = url.trim().to_ascii_lowercase();
    let (_, host, path) = split(&url);
    format!("{}{}", without_port(host), without_slash(path))
}

/// Splits a URL into its scheme, its host with the port, and the rest.
fn split(url: &str) -> (Option<&str>, &str, &str) {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (scheme, host, path)
}

fn without_port(host: &str) -> &str {
    let bare = host.strip_suffix(":443").or(host.strip_suffix(":80"));
    bare.unwrap_or(host)
}

/// Names the differences between two URLs that are the same after [`loose`].
pub(super) fn difference(our: &str, found: &str) -> String {
    let (ours, theirs) = (split(our.trim()), split(found.trim()));
    let lower = |text: &str| text.to_ascii_lowercase();
    let schemes = (ours.0.map(lower), theirs.0.map(lower));
    let paths = [ours.2, theirs.2].map(without_slash);
    let hosts = [ours.1, theirs.1].map(without_port);
    let are_cased = ours.0 != theirs.0 && schemes.0 == schemes.1
        || hosts[0] != hosts[1]
        || paths[0] != paths[1];
    let has_port = [ours.1, theirs.1].map(|host| without_port(host) != host);
    let rows = [
        (
            our.trim() != our || found.trim() != found,
            "white space at an end",
        ),
        (
            schemes.0.is_none() != schemes.1.is_none(),
            "the scheme, such as https://, which one of them lacks",
        ),
        (
            schemes.0 != schemes.1 && schemes.0.is_some() && schemes.1.is_some(),
            "http and https",
        ),
        (has_port[0] != has_port[1], "the port"),
        (
            ours.2.ends_with('/') != theirs.2.ends_with('/'),
            "the slash at the end",
        ),
        (are_cased, "upper and lower case"),
    ];
    let names = rows.into_iter().filter(|(differs, _)| *differs);
    let names: Vec<_> = names.map(|(_, name)| name).collect();
    format!("They differ in {}.", names.join(", and in "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_difference_in_spelling() {
        const URL: &str = "https://a.example/b";
        #[rustfmt::skip]
        let rows = [
            ("https://a.example/b/", "the slash at the end"),
            ("http://a.example/b", "http and https"),
            ("a.example/b", "the scheme, such as https://, which one of them lacks"),
            ("https://a.example:443/b", "the port"),
            ("https://a.example/b ", "white space at an end"),
            ("https://a.example/B", "upper and lower case"),
            ("HTTPS://a.example/b", "upper and lower case"),
            ("https://A.example/b/", "the slash at the end, and in upper and lower case"),
        ];
        for (other, expected) in rows {
            assert_eq!(loose(URL), loose(other), "{other}");
            assert_eq!(
                difference(URL, other),
                format!("They differ in {expected}.")
            );
        }
        for other in [
            "https://a.example:8443/b",
            "https://b.example/b",
            "https://a.example/c",
        ] {
            assert_ne!(loose(URL), loose(other), "{other}");
        }
    }
}
