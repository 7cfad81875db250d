//! [`Vendor`]: the products for which `explain` has specific advice.
//!
//! We guess the vendor. It only affects the wording, and no verdict depends on it.

mod microsoft;
pub(super) mod patterns;
pub(super) mod words;

use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Vendor {
    Apple,
    Auth0,
    Authentik,
    ClerkSessions,
    CloudflareAccess,
    Cognito,
    Entra,
    FastMcp,
    Firebase,
    GithubActions,
    Glewlwyd,
    Google,
    Iap,
    Keycloak,
    Kubernetes,
    Okta,
    Stytch,
    Supabase,
    WorkOs,
    Zitadel,
}

impl Vendor {
    /// Recognizes a vendor by the name of its issuer.
    pub(in crate::service) fn of_issuer(issuer: &str) -> Option<Self> {
        let bare = issuer.strip_prefix("https://").unwrap_or(issuer);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let is_under = |domain: &str| {
            let rest = host.strip_suffix(domain);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let are_under = |domains: &[&str]| domains.iter().any(|domain| is_under(domain));
        Some(match (host, path) {
            _ if is_under("auth0.com") => Self::Auth0,
            _ if are_under(&ENTRA) => Self::Entra,
            _ if host.starts_with("cognito-idp.") && host.contains(".amazonaws.com") => {
                Self::Cognito
            }
            _ if are_under(&[
                "okta.com",
                "oktapreview.com",
                "okta-emea.com",
                "okta-gov.com",
            ]) =>
            {
                Self::Okta
            }
            ("appleid.apple.com", _) => Self::Apple,
            ("accounts.google.com", _) => Self::Google,
            ("cloud.google.com", "iap") => Self::Iap,
            ("securetoken.google.com" | "session.firebase.google.com", _) => Self::Firebase,
            (
                "token.actions.githubusercontent.com" | "vstoken.actions.githubusercontent.com",
                _,
            ) => Self::GithubActions,
            ("kubernetes", "serviceaccount") | ("container.googleapis.com", _) => Self::Kubernetes,
            _ if host.starts_with("kubernetes.default") => Self::Kubernetes,
            _ if host.starts_with("oidc.eks.")
                || host.contains(".oic.") && is_under("azure.com") =>
            {
                Self::Kubernetes
            }
            _ if is_under("clerk.accounts.dev") || host.starts_with("clerk.") => {
                Self::ClerkSessions
            }
            ("api.workos.com", _) => Self::WorkOs,
            _ if is_under("authkit.app") => Self::WorkOs,
            _ if is_under("supabase.co") || issuer == "supabase" => Self::Supabase,
            _ if is_under("cloudflareaccess.com") => Self::CloudflareAccess,
            _ if are_under(&["stytch.com", "stytch.dev"]) => Self::Stytch,
            _ if is_under("zitadel.cloud") => Self::Zitadel,
            _ if path.starts_with("realms/") || path.contains("/realms/") => Self::Keycloak,
            _ if path.starts_with("application/o/") => Self::Authentik,
            _ => return None,
        })
    }

    /// Recognizes a vendor by claims that only its tokens have.
    pub(in crate::service) fn of_claims(payload: &Value) -> Option<Self> {
        let text = |name: &str| payload[name].as_str().unwrap_or_default();
        if let Some(vendor) = Self::of_issuer(text("iss")) {
            return Some(vendor);
        }
        if is_of_fastmcp(payload) {
            return Some(Self::FastMcp);
        }
        // the issuer of `dev` writes Auth0's claims too, but unlike Auth0 it uses plain http
        let is_auth0 = !text("iss").starts_with("http://")
            && (payload.get("gty").is_some() || text("sub").starts_with("auth0|"));
        let is_firebase =
            texts_of(&payload["aud"]).any(|aud| aud.contains("identitytoolkit.googleapis.com"));
        if payload.get("kubernetes.io").is_some() {
            Some(Self::Kubernetes)
        } else if is_firebase {
            Some(Self::Firebase)
        } else if text("iss").ends_with(".gserviceaccount.com") {
            Some(Self::Google)
        } else if is_auth0 {
            Some(Self::Auth0)
        } else if text("type") == "access_token" && payload.get("client_id").is_some() {
            Some(Self::Glewlwyd)
        } else if text("sid").starts_with("sess_") && payload.get("azp").is_some() {
            Some(Self::ClerkSessions)
        } else if payload
            .get("urn:zitadel:iam:user:resourceowner:id")
            .is_some()
        {
            Some(Self::Zitadel)
        } else {
            None
        }
    }
}

/// A token of `FastMCP`, from its test keys or from its OAuth proxy. The proxy's tokens are for the
/// endpoint `/mcp` of the server that issues them, and have no subject.
fn is_of_fastmcp(payload: &Value) -> bool {
    let text = |name: &str| payload[name].as_str().unwrap_or_default();
    let server = text("iss").trim_end_matches('/');
    let endpoint = text("aud").strip_prefix(server);
    let is_of_proxy = !server.is_empty()
        && endpoint.is_some_and(|path| path.trim_end_matches('/').ends_with("/mcp"))
        && payload.get("client_id").is_some()
        && payload.get("jti").is_some()
        && payload.get("sub").is_none();
    is_of_proxy || server == "https://fastmcp.example.com"
}

/// The hosts of Entra ID, including national clouds, External ID and B2C
const ENTRA: [&str; 7] = [
    "login.microsoftonline.com",
    "sts.windows.net",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "sts.chinacloudapi.cn",
    "ciamlogin.com",
    "b2clogin.com",
];

fn texts_of(value: &Value) -> impl Iterator<Item = &str> {
    let items = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recognizes_vendors_by_issuer() {
        #[rustfmt::skip]
        let rows = [
            ("https://tenant.eu.auth0.com/", Some(Vendor::Auth0)),
            ("https://login.microsoftonline.com/8b3b6b3a-6f0c-4a52-9d38-5d4e4f4d0f0a/v2.0", Some(Vendor::Entra)),
            ("https://sts.windows.net/8b3b6b3a-6f0c-4a52-9d38-5d4e4f4d0f0a/", Some(Vendor::Entra)),
            ("https://contoso.b2clogin.com/8b3b6b3a-6f0c-4a52-9d38-5d4e4f4d0f0a/v2.0/", Some(Vendor::Entra)),
            ("https://keycloak.example.com/realms/shop", Some(Vendor::Keycloak)),
            ("http://keycloak:8080/auth/realms/shop", Some(Vendor::Keycloak)),
            ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI", Some(Vendor::Cognito)),
            ("https://dev-123.okta.com/oauth2/default", Some(Vendor::Okta)),
            ("https://accounts.google.com", Some(Vendor::Google)),
            ("https://cloud.google.com/iap", Some(Vendor::Iap)),
            ("https://securetoken.google.com/shop-1", Some(Vendor::Firebase)),
            ("https://token.actions.githubusercontent.com", Some(Vendor::GithubActions)),
            ("https://kubernetes.default.svc.cluster.local", Some(Vendor::Kubernetes)),
            ("https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE", Some(Vendor::Kubernetes)),
            ("kubernetes/serviceaccount", Some(Vendor::Kubernetes)),
            ("https://clerk.example.com", Some(Vendor::ClerkSessions)),
            ("https://happy-cat-1.clerk.accounts.dev", Some(Vendor::ClerkSessions)),
            ("https://api.workos.com/user_management/client_01", Some(Vendor::WorkOs)),
            ("https://abcdefghijkl.supabase.co/auth/v1", Some(Vendor::Supabase)),
            ("https://team.cloudflareaccess.com", Some(Vendor::CloudflareAccess)),
            ("stytch.com/project-live-1", Some(Vendor::Stytch)),
            ("https://shop.zitadel.cloud", Some(Vendor::Zitadel)),
            ("https://appleid.apple.com", Some(Vendor::Apple)),
            ("https://auth.example.com/application/o/shop/", Some(Vendor::Authentik)),
            ("https://issuer.example.com/", None),
            ("https://notauth0.com/", None),
            ("http://127.0.0.1:9/", None),
        ];
        for (issuer, expected) in rows {
            assert_eq!(Vendor::of_issuer(issuer), expected, "{issuer}");
        }
    }

    #[test]
    fn recognizes_vendors_by_claims() {
        #[rustfmt::skip]
        let rows = [
            (json!({"iss": "https://login.example.com/", "gty": "client-credentials"}), Some(Vendor::Auth0)),
            (json!({"iss": "http://127.0.0.1:9/", "gty": "client-credentials"}), None),
            (json!({"iss": "https://issuer.example/", "kubernetes.io": {}}), Some(Vendor::Kubernetes)),
            (json!({"iss": "https://id.example/", "type": "access_token", "client_id": "c"}), Some(Vendor::Glewlwyd)),
            (json!({"iss": "http://127.0.0.1:9/api/oidc", "type": "access_token", "client_id": "c"}), Some(Vendor::Glewlwyd)),
            (json!({"iss": "https://id.example/"}), None),
            (json!({"iss": "https://mcp.example/", "aud": "https://mcp.example/mcp", "client_id": "c", "jti": "j"}), Some(Vendor::FastMcp)),
            (json!({"iss": "https://mcp.example/", "aud": "https://mcp.example/mcp", "client_id": "c", "jti": "j", "sub": "s"}), None),
            (json!({"iss": "https://id.example/", "aud": "https://mcp.example/mcp", "client_id": "c", "jti": "j"}), None),
            (json!({"iss": "https://fastmcp.example.com", "sub": "fastmcp-user"}), Some(Vendor::FastMcp)),
            (json!(null), None),
        ];
        for (payload, expected) in rows {
            assert_eq!(Vendor::of_claims(&payload), expected, "{payload}");
        }
    }
}
