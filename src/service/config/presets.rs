//! The presets of the issuers file: the options that a product's tokens need, by `kind`.
//!
//! A preset only sets options that the table does not set. Its values come from the product's
//! documentation, which it links to. No value is weaker than the default unless the `note` says so.
//! `docs/issuers.md` has a row for each preset.

use crate::{
    algorithm::Algorithm,
    auth::AudienceClaim,
    service::config::issuer_settings::{IssuerSettings, Preset},
};

pub(super) fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

fn audience_claim(settings: &mut IssuerSettings, claim: AudienceClaim) {
    settings.audience_claim.get_or_insert(claim);
}

fn algorithms(settings: &mut IssuerSettings, algorithms: &[Algorithm]) {
    if settings.algorithms.is_empty() {
        settings.algorithms = algorithms.to_vec();
    }
}

/// Sets the URL of the key set, unless the table already has a source of keys.
fn jwks_uri(settings: &mut IssuerSettings, url: &str) {
    if settings.jwks_uri.is_none() && settings.jwks_file.is_none() {
        settings.jwks_uri = Some(url.to_owned());
    }
}

fn claims(settings: &mut IssuerSettings, roles: Option<&str>, groups: Option<&str>) {
    if let Some(roles) = roles {
        settings.roles_at.get_or_insert(roles.to_owned());
    }
    if let Some(groups) = groups {
        settings.groups_at.get_or_insert(groups.to_owned());
    }
}

/// Whether a name is `before`, one segment of a path or host, and `after`
fn between(name: &str, before: &str, after: &str) -> bool {
    let middle = name.strip_prefix(before);
    let middle = middle.and_then(|rest| rest.strip_suffix(after));
    middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('/'))
}

/// Kubernetes mounts these files into each pod
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "auth0",
        source: "https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",
        url: None,
        form: "https://TENANT.auth0.com/, or the custom domain, with a slash at the end",
        fits: |name| between(name, "https://", "/"),
        field: None,
        note: None,
        fill: |settings| algorithms(settings, &[Algorithm::RS256]),
    },
    Preset {
        name: "entra",
        source: "https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference",
        url: None,
        form: "https://login.microsoftonline.com/TENANT_ID/v2.0, or https://sts.windows.net/TENANT_ID/ for v1.0 tokens",
        fits: |name| {
            // the last four are national clouds, External ID and B2C
            between(name, "https://login.microsoftonline.com/", "/v2.0")
                || between(name, "https://sts.windows.net/", "/")
                || name.starts_with("https://login.microsoftonline.us/")
                || name.starts_with("https://login.partner.microsoftonline.cn/")
                || name.contains(".ciamlogin.com/")
                || name.contains(".b2clogin.com/")
        },
        field: None,
        note: Some(
            "ID tokens of an application that shares the API's registration have the same audience as access tokens; set required_scope, as ID tokens have no scp, or register the API separately",
        ),
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256]);
            claims(settings, Some("roles"), Some("groups"));
            // Microsoft publishes the metadata of v1.0 tokens under another name
            let url = settings.url.clone();
            let tenant = url.strip_prefix("https://sts.windows.net/");
            if let Some(tenant) = tenant.and_then(|rest| rest.strip_suffix('/')) {
                let keys = format!("https://login.microsoftonline.com/{tenant}/discovery/keys");
                jwks_uri(settings, &keys);
            }
        },
    },
    Preset {
        name: "cognito",
        source: "https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html",
        url: None,
        form: "https://cognito-idp.REGION.amazonaws.com/POOL_ID",
        fits: |name| name.starts_with("https://cognito-idp.") && name.matches('/').count() == 3,
        field: None,
        note: Some(
            "weaker than the default: access tokens have no aud, so the audiences are client IDs, and any token of such a client is accepted. With a resource binding set audience_claim = \"aud\"",
        ),
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256]);
            audience_claim(settings, AudienceClaim::ClientId);
            claims(settings, Some("cognito:groups"), Some("cognito:groups"));
        },
    },
    Preset {
        name: "keycloak",
        source: "https://www.keycloak.org/docs/latest/server_admin/",
        url: None,
        form: "https://HOST/realms/REALM, without a slash at the end",
        fits: |name| name.contains("/realms/") && !name.ends_with('/'),
        field: None,
        note: Some(
            "groups come from a Group Membership mapper, whose values begin with / if Full group path is on. The built-in scope microprofile-jwt writes realm roles into groups",
        ),
        fill: |settings| claims(settings, Some("realm_access.roles"), Some("groups")),
    },
    Preset {
        name: "okta",
        source: "https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/",
        url: None,
        form: "https://ORG.okta.com/oauth2/SERVER; the org server's tokens are for Okta itself",
        fits: |name| name.contains("/oauth2/"),
        field: None,
        note: None,
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256]);
            claims(settings, None, Some("groups"));
        },
    },
    Preset {
        name: "google",
        source: "https://cloud.google.com/docs/authentication/get-id-token",
        url: Some("https://accounts.google.com"),
        form: "https://accounts.google.com",
        fits: |name| name == "https://accounts.google.com",
        field: None,
        note: Some(
            "these are ID tokens, and any service account of any Google Cloud project can get one for your audience; check sub, or email with email_verified. Never configure the client ID of a login as audience",
        ),
        fill: |settings| algorithms(settings, &[Algorithm::RS256]),
    },
    Preset {
        name: "kubernetes",
        source: "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",
        url: None,
        form: "what the cluster's tokens have in iss, such as https://kubernetes.default.svc.cluster.local",
        fits: |_| true,
        field: None,
        note: Some(
            "any service account of the cluster can get a token for any audience; check sub. The preset fetches the keys of the cluster in which the service runs",
        ),
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256, Algorithm::ES256]);
            if settings.jwks_uri.is_none() && settings.jwks_file.is_none() {
                // The API server requires a token even to fetch its keys
                jwks_uri(settings, "https://kubernetes.default.svc/openid/v1/jwks");
                let file = |name: &str| format!("{SERVICE_ACCOUNT}/{name}").into();
                settings.ca_file.get_or_insert(file("ca.crt"));
                settings.fetch_token_file.get_or_insert(file("token"));
            }
        },
    },
    Preset {
        name: "github-actions",
        source: "https://docs.github.com/en/actions/reference/security/oidc",
        url: Some("https://token.actions.githubusercontent.com"),
        form: "https://token.actions.githubusercontent.com",
        fits: |name| {
            // The issuer of an enterprise may end with the name of the enterprise
            let rest = name.strip_prefix("https://token.actions.githubusercontent.com");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        },
        field: None,
        note: Some(
            "any repository on GitHub gets tokens for any audience; check repository_id or repository_owner_id, as with /auth?claim=repository_id:ID, because names can be registered again by others",
        ),
        fill: |settings| algorithms(settings, &[Algorithm::RS256]),
    },
    Preset {
        name: "clerk",
        source: "https://clerk.com/docs/guides/sessions/session-tokens",
        url: None,
        form: "https://clerk.DOMAIN or https://NAME.clerk.accounts.dev, the Frontend API URL, without a slash at the end",
        fits: |name| name.starts_with("https://") && name.matches('/').count() == 2,
        field: None,
        note: Some(
            "weaker than the default: session tokens have no aud, so the audiences are the origins of your pages, as azp has them. Tokens without azp are rejected",
        ),
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256]);
            audience_claim(settings, AudienceClaim::Azp);
            claims(settings, Some("o.rol"), None);
        },
    },
    Preset {
        name: "workos",
        source: "https://workos.com/docs/reference/authkit/session-tokens/access-token",
        url: None,
        form: "what the tokens have in iss: https://api.workos.com/user_management/CLIENT_ID, https://api.workos.com, or your custom domain",
        fits: |name| name.starts_with("https://"),
        field: None,
        note: Some(
            "access tokens have no aud by default; add one with a JWT template. For every url but the first, set jwks_uri to https://api.workos.com/sso/jwks/CLIENT_ID",
        ),
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256]);
            claims(settings, Some("role"), None);
            let url = settings.url.clone();
            if let Some(client) = url.strip_prefix("https://api.workos.com/user_management/") {
                jwks_uri(
                    settings,
                    &format!("https://api.workos.com/sso/jwks/{client}"),
                );
            }
        },
    },
    Preset {
        name: "supabase",
        source: "https://supabase.com/docs/guides/auth/jwts",
        url: None,
        form: "https://PROJECT.supabase.co/auth/v1",
        fits: |name| name.ends_with("/auth/v1"),
        field: None,
        note: Some(
            "the audience of every user of the project is authenticated; tokens of anonymous users (with is_anonymous: true) and of OAuth clients (with client_id) have it too",
        ),
        fill: |settings| {
            algorithms(settings, &[Algorithm::ES256, Algorithm::RS256]);
            claims(settings, Some("role"), None);
            let keys = format!("{}/.well-known/jwks.json", settings.url);
            jwks_uri(settings, &keys);
        },
    },
    Preset {
        name: "cloudflare-access",
        source: "https://developers.cloudflare.com/cloudflare-one/access-controls/applications/http-apps/authorization-cookie/validating-json/",
        url: None,
        form: "https://TEAM.cloudflareaccess.com",
        fits: |name| name.starts_with("https://") && name.matches('/').count() == 2,
        field: Some("cf-access-jwt-assertion"),
        note: None,
        fill: |settings| {
            algorithms(settings, &[Algorithm::RS256]);
            let keys = format!("{}/cdn-cgi/access/certs", settings.url);
            jwks_uri(settings, &keys);
        },
    },
    Preset {
        name: "iap",
        source: "https://cloud.google.com/iap/docs/signed-headers-howto",
        url: Some("https://cloud.google.com/iap"),
        form: "https://cloud.google.com/iap",
        fits: |name| name == "https://cloud.google.com/iap",
        field: Some("x-goog-iap-jwt-assertion"),
        note: None,
        fill: |settings| {
            algorithms(settings, &[Algorithm::ES256]);
            jwks_uri(
                settings,
                "https://www.gstatic.com/iap/verify/public_key-jwk",
            );
        },
    },
    Preset {
        name: "firebase",
        source: "https://firebase.google.com/docs/auth/admin/verify-id-tokens",
        url: None,
        form: "https://securetoken.google.com/PROJECT_ID",
        fits: |name| between(name, "https://securetoken.google.com/", ""),
        field: None,
        note: Some(
            "these are ID tokens, which Firebase uses as access tokens; the audience is the project ID. Anonymous users have them too",
        ),
        fill: |settings| algorithms(settings, &[Algorithm::RS256]),
    },
];
