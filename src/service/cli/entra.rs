//! The names that Microsoft Entra ID gives to an application.

/// The ID in an application's name: `GUID`, `api://GUID` or `api://TENANT/GUID`. `None` for any
/// other name: `https://contoso.example/GUID` may be the name of another application.
pub(in crate::service) fn application_id(audience: &str) -> Option<&str> {
    let name = audience.strip_prefix("api://").unwrap_or(audience);
    let id = match name.split_once('/') {
        Some((tenant, id)) if name != audience && is_guid(tenant) => id,
        Some(_) => return None,
        None => name,
    };
    is_guid(id).then_some(id)
}

pub(in crate::service) fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    let are_digits = |part: &str| part.chars().all(|c| c.is_ascii_hexdigit());
    lengths.eq([8, 4, 4, 4, 12]) && text.split('-').all(are_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_id_of_an_application() {
        const ID: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
        const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        for (audience, expected) in [
            (ID.to_owned(), Some(ID)),
            (format!("api://{ID}"), Some(ID)),
            (format!("api://{TENANT}/{ID}"), Some(ID)),
            (format!("https://other.example/{ID}"), None),
            (format!("{TENANT}/{ID}"), None),
            (format!("api://contoso/{ID}"), None),
            (format!("api://{TENANT}/{ID}/a"), None),
            (format!("api://{TENANT}/orders"), None),
            ("api://orders".to_owned(), None),
            ("orders".to_owned(), None),
            ("-".repeat(36), None),
        ] {
            assert_eq!(application_id(&audience), expected, "{audience}");
        }
    }
}
