//! Recognizes mistakes that are typical of a vendor, and adapts the wording of general causes.

use serde_json::Value;

use crate::{
    auth::{
        AudienceClaim, AuthError, display::ShownText, policy::RuleKind, token::subject::SubjectKind,
    },
    service::{
        api::errors::{Cause, causes},
        cli::{
            entra,
            explain::{
                advice::Advice,
                facts::{Facts, texts},
                pasted::{has_no_token, is_placeholder},
                vendor::{Vendor, microsoft, words},
            },
        },
        config::Setting,
    },
};

/// Returns the vendor of the token's issuer. If the token has no `iss`, returns that of the
/// configured issuers.
fn vendor_of(facts: &Facts<'_>) -> Option<Vendor> {
    Vendor::of_claims(&facts.trace.payload).or_else(|| match facts.text("iss") {
        None => configured(facts),
        // a custom domain of Auth0 has no recognizable name
        Some(issuer) if facts.issuers().any(|our| our == issuer) => by_domain(facts),
        Some(_) => None,
    })
}

/// `None` unless all configured issuers have the same vendor
fn configured(facts: &Facts<'_>) -> Option<Vendor> {
    let mut vendors = facts.issuers().map(Vendor::of_issuer);
    let first = vendors.next()?;
    let is_common = vendors.all(|other| other == first);
    first.filter(|_| is_common).or_else(|| by_domain(facts))
}

/// Auth0, if its tutorial's variables configure the issuer
fn by_domain(facts: &Facts<'_>) -> Option<Vendor> {
    let is_auth0 = facts.is_set("AUTH0_DOMAIN") && !facts.is_set("AUTH0_ISSUER");
    is_auth0.then_some(Vendor::Auth0)
}

/// Returns advice for a mistake that is typical of a vendor's tokens, if the token shows one.
pub(in crate::service) fn of_token(facts: &Facts<'_>, error: AuthError) -> Option<Advice> {
    if is_token_of_github(facts, error) {
        return Some(words::GITHUB_TOKEN.into());
    }
    // An AWS load balancer adds its own token, whatever the issuer. A client may have removed the
    // padding.
    let is_about_origin = matches!(
        error,
        AuthError::AlgorithmNotAllowed
            | AuthError::UnknownIssuer
            | AuthError::UnknownKey
            | AuthError::BadSignature
            | AuthError::MissingClaim
    );
    if is_about_origin && is_of_load_balancer(&facts.trace.header) {
        return Some(causes::LOAD_BALANCER.into());
    }
    if error == AuthError::TokenMalformed {
        // Google's access tokens may have two dots, like a JWT
        let is_google = facts.token.starts_with("ya29.");
        let of_google = is_google.then(|| words::GOOGLE_ACCESS_TOKEN.into());
        return of_google.or_else(|| of_padding(facts));
    }
    // We compare a claim other than aud, so aud isn't the problem
    let is_by_client = facts.config.audience_claim != AudienceClaim::Aud;
    if is_by_client && matches!(error, AuthError::WrongAudience | AuthError::MissingClaim) {
        return None;
    }
    let is_no_opaque_token = is_placeholder(facts.token) || facts.token.contains("eyJ");
    if error == AuthError::TokenNotJwt && (is_no_opaque_token || has_no_token(facts.token)) {
        return None;
    }
    let ours = configured(facts);
    match vendor_of(facts).or(ours)? {
        Vendor::Entra => entra(facts, error),
        Vendor::Keycloak => keycloak(facts, error).map(Advice::from),
        Vendor::Stytch if error == AuthError::UnknownIssuer && is_stytch_project(facts) => {
            Some(stytch(facts))
        }
        vendor => of_vendor(vendor, ours, facts, error).map(Advice::from),
    }
}

/// A token for GitHub's own API. Since 2026, some of these have a JWT after their prefix, so they
/// may look like an incomplete or a malformed JWT.
fn is_token_of_github(facts: &Facts<'_>, error: AuthError) -> bool {
    const PREFIXES: [&str; 5] = ["ghs_", "ghp_", "gho_", "ghu_", "github_pat_"];
    matches!(error, AuthError::TokenNotJwt | AuthError::TokenMalformed)
        && configured(facts) == Some(Vendor::GithubActions)
        && PREFIXES
            .iter()
            .any(|prefix| facts.token.starts_with(prefix))
        && !is_placeholder(facts.token)
}

pub(in crate::service) fn in_its_words(facts: &Facts<'_>, cause: Cause) -> Cause {
    match vendor_of(facts).and_then(|vendor| translated(vendor, cause)) {
        Some(cause) => cause,
        None => cause,
    }
}

/// Recognizes tokens with padded parts, which are usually from an AWS load balancer.
pub(in crate::service) fn of_padding(facts: &Facts<'_>) -> Option<Advice> {
    let is_padded = facts.token.contains("=.") || facts.token.ends_with('=');
    if !is_padded {
        return None;
    }
    let header = facts.lenient_part(0);
    if is_of_load_balancer(&header) {
        return Some(causes::LOAD_BALANCER.into());
    }
    let parts: Vec<_> = facts.token.split('.').collect();
    let is_correct = |part: &&str| !part.ends_with('=') || part.len().is_multiple_of(4);
    if parts.len() != 3 || !header.is_object() || !parts.iter().all(is_correct) {
        return None;
    }
    // every part is padded, so the issuer created the token like this
    if parts.iter().all(|part| part.len().is_multiple_of(4)) {
        return Some(causes::PADDED.into());
    }
    let names = ["header", "payload", "signature"].into_iter().zip(&parts);
    let padded = names.filter(|(_, part)| part.ends_with('='));
    let padded: Vec<_> = padded.map(|(name, _)| name).collect();
    let sentence = format!("Here, = is at the end of the {}.", padded.join(" and the "));
    // The signature covers the padding of the header and the payload, but not its own
    let cause = if padded == ["signature"] {
        causes::RE_ENCODED
    } else {
        causes::PADDED
    };
    Some(Advice::from(cause).and(&sentence))
}

/// Signed by an AWS load balancer
fn is_of_load_balancer(header: &Value) -> bool {
    let signer = header["signer"].as_str().unwrap_or_default();
    signer.starts_with("arn:aws") && signer.contains(":elasticloadbalancing:")
}

/// Microsoft Graph, and other APIs of Microsoft
fn is_microsoft(audience: &str) -> bool {
    const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
    const HOSTS: [&str; 4] = [
        "graph.microsoft.us",
        "microsoftgraph.chinacloudapi.cn",
        "vault.azure.net",
        "storage.azure.com",
    ];
    const DOMAINS: [&str; 5] = [
        ".microsoft.com",
        ".core.windows.net",
        "graph.windows.net",
        "management.azure.com",
        "database.windows.net",
    ];
    let url = audience.trim_start_matches("https://");
    let host = url.split('/').next().unwrap_or_default();
    audience == GRAPH
        || HOSTS.contains(&host)
        || DOMAINS.iter().any(|domain| host.ends_with(domain))
}

fn entra(facts: &Facts<'_>, error: AuthError) -> Option<Advice> {
    use AuthError::{BadSignature, MissingClaim, UnknownIssuer, UnknownKey, WrongAudience};
    let audiences = facts.audiences();
    let is_about_origin = matches!(
        error,
        BadSignature | UnknownKey | UnknownIssuer | WrongAudience
    );
    let is_for_graph =
        facts.header("nonce").is_some() || audiences.iter().any(|one| is_microsoft(one));
    if is_about_origin && is_for_graph {
        return Some(words::ENTRA_GRAPH.into());
    }
    match error {
        UnknownIssuer => entra_issuer(facts),
        WrongAudience => {
            let named = entra_spelling(facts, &audiences);
            let named = named.or_else(|| microsoft::audience(facts, &audiences));
            if named.is_some() || facts.has_empty_audience() {
                return named;
            }
            let is_url = audiences.iter().any(|one| one.contains("://"));
            let is_for_api = is_url || facts.has(&["scp", "roles", "appid", "azp"]);
            let cause = if is_for_api {
                words::ENTRA_AUDIENCE
            } else {
                words::ENTRA_ID_TOKEN
            };
            Some(cause.into())
        }
        MissingClaim if facts.failed("aud") => Some(words::ENTRA_AUDIENCE.into()),
        UnknownKey => microsoft::own_keys(facts),
        _ => None,
    }
}

/// The ID of the tenant, and whether the issuer is of version 2.0.
fn entra_tenant(issuer: &str) -> Option<(&str, bool)> {
    let path = issuer.strip_prefix("https://")?.split_once('/')?.1;
    let tenant = path.split('/').next()?;
    entra::is_guid(tenant).then_some((tenant, path.trim_end_matches('/').ends_with("/v2.0")))
}

/// The tenant of all personal accounts
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

fn entra_issuer(facts: &Facts<'_>) -> Option<Advice> {
    let found = facts.text("iss")?;
    let (tenant, is_v2) = entra_tenant(found)?;
    let differs_in_slash = |our: &str| our.trim_end_matches('/') == found.trim_end_matches('/');
    if facts.issuers().any(differs_in_slash) {
        return None;
    }
    let is_common = |issuer: &str| {
        let issuer = issuer.trim_end_matches("/v2.0");
        ["/common", "/organizations", "/consumers"]
            .iter()
            .any(|name| issuer.ends_with(name))
    };
    if facts.issuers().any(is_common) {
        return Some(words::ENTRA_COMMON.into());
    }
    if facts.issuers().any(|our| our.contains("{tenantid}")) {
        return Some(words::ENTRA_PATTERN.into());
    }
    if let Some(advice) = microsoft::of_host(facts, found) {
        return Some(advice);
    }
    // You can write the name of an issuer with the tenant's domain instead of its ID
    let is_by_domain = |issuer: &str| {
        let rest = issuer.strip_prefix("https://login.microsoftonline.com/");
        rest.is_some_and(|rest| entra_tenant(issuer).is_none() && rest.contains('.'))
    };
    if facts.issuers().any(is_by_domain) {
        return Some(words::ENTRA_DOMAIN.into());
    }
    // In Entra External ID, the host has the tenant's name or its ID
    let is_external = |issuer: &str| {
        let host = issuer.strip_prefix("https://").unwrap_or_default();
        let host = host.split('/').next().unwrap_or_default();
        host.ends_with(".ciamlogin.com")
    };
    let has_other_host = |our: &str| {
        is_external(our) && is_external(found) && entra_tenant(our) == entra_tenant(found)
    };
    if facts.issuers().any(has_other_host) {
        let is_only = facts.issuers().count() == 1;
        let settings = if is_only && facts.held("signature") {
            facts.recommend(vec![Setting::new("AUTH0_ISSUER", found)])
        } else {
            Vec::new()
        };
        return Some(Advice::from(words::ENTRA_HOST).with(settings));
    }
    let mut ours = facts.issuers().filter_map(entra_tenant);
    let is_ours = ours.any(|(our, our_v2)| our == tenant && our_v2 != is_v2);
    // With several issuers, we can't know which one to replace
    let is_only = facts.issuers().count() == 1;
    let recommend = |settings| {
        if is_only {
            facts.recommend(settings)
        } else {
            Vec::new()
        }
    };
    let from_fetched_keys = facts.config.jwks_file.is_none();
    match (is_ours, is_v2) {
        (false, _) if tenant == PERSONAL => Some(words::ENTRA_PERSONAL.into()),
        (false, _) => Some(words::ENTRA_TENANT.into()),
        (true, false) => {
            let issuer = Setting::new("AUTH0_ISSUER", format!("https://sts.windows.net/{tenant}/"));
            let keys = format!("https://login.microsoftonline.com/{tenant}/discovery/keys");
            let settings = if from_fetched_keys {
                recommend(vec![issuer, Setting::new("AUTH0_JWKS_URI", keys)])
            } else {
                recommend(vec![issuer])
            };
            Some(Advice::from(words::ENTRA_V1_TOKEN).with(settings))
        }
        (true, true) => {
            let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
            let settings = recommend(vec![Setting::new("AUTH0_ISSUER", issuer)]);
            Some(Advice::from(words::ENTRA_V2_TOKEN).with(settings))
        }
    }
}

/// Recognizes another name of the same application. The names of other applications may end with
/// the same GUID, and the token is not verified yet.
fn entra_spelling(facts: &Facts<'_>, audiences: &[&str]) -> Option<Advice> {
    let ours = &facts.config.audiences;
    let (at, found) = ours.iter().enumerate().find_map(|(at, our)| {
        let own = entra::application_id(our)?;
        let mut audiences = audiences.iter();
        let is_same = |found: &&&str| {
            entra::application_id(found).is_some_and(|id| id.eq_ignore_ascii_case(own))
        };
        Some((at, *audiences.find(is_same)?))
    })?;
    let mut renamed = ours.clone();
    found.clone_into(&mut renamed[at]);
    let setting = Setting::new("AUTH0_API_AUDIENCE", renamed.join(","));
    Some(Advice::from(words::ENTRA_SPELLING).with(facts.recommend(vec![setting])))
}

fn keycloak(facts: &Facts<'_>, error: AuthError) -> Option<Cause> {
    match facts.text("typ") {
        Some("Refresh" | "Offline") => return Some(words::KEYCLOAK_REFRESH),
        Some("ID") if matches!(error, AuthError::WrongAudience | AuthError::WrongTokenType) => {
            return Some(words::KEYCLOAK_ID_TOKEN);
        }
        _ => {}
    }
    let audiences = facts.audiences();
    // every realm has these clients
    let own = [
        "account",
        "realm-management",
        "broker",
        "security-admin-console",
    ];
    match error {
        AuthError::WrongAudience if audiences.iter().any(|one| !own.contains(one)) => {
            Some(words::KEYCLOAK_OTHER_API)
        }
        AuthError::WrongAudience => Some(words::KEYCLOAK_AUDIENCE),
        AuthError::MissingClaim if facts.failed("aud") => Some(words::KEYCLOAK_AUDIENCE),
        AuthError::UnknownIssuer => {
            let realm = |issuer: &str| {
                issuer
                    .split_once("/realms/")
                    .map(|(_, realm)| realm.trim_end_matches('/').to_owned())
            };
            let found = facts.text("iss")?;
            let theirs = realm(found)?;
            let is_slash = |our: &str| our.trim_end_matches('/') == found.trim_end_matches('/');
            let mut ours = facts.issuers();
            let is_same = ours.any(|our| realm(our).as_ref() == Some(&theirs) && !is_slash(our));
            // Another environment may have a realm with the same name but different keys
            (is_same && facts.held("signature")).then_some(words::KEYCLOAK_HOSTNAME)
        }
        _ => None,
    }
}

/// The token's issuer is the project that a configured URL of Stytch has.
fn is_stytch_project(facts: &Facts<'_>) -> bool {
    let found = facts.text("iss").unwrap_or_default();
    let project = found.strip_prefix("stytch.com/");
    let is_of_project = |our: &str, project: &str| {
        let path = format!("/v1/public/{project}");
        our.starts_with("https://") && our.trim_end_matches('/').ends_with(&path)
    };
    let project = project.filter(|project| project.starts_with("project-"));
    project.is_some_and(|project| facts.issuers().any(|our| is_of_project(our, project)))
}

fn stytch(facts: &Facts<'_>) -> Advice {
    let found = facts.text("iss").unwrap_or_default();
    let project = found.trim_start_matches("stytch.com/");
    let ours: Vec<_> = facts.issuers().collect();
    let settings = match &ours[..] {
        [our] => {
            let host = our.trim_start_matches("https://").split('/').next();
            let host = host.unwrap_or_default();
            let keys = format!("https://{host}/v1/sessions/jwks/{project}");
            let keys = Setting::new("AUTH0_JWKS_URI", keys);
            let keys = facts.config.jwks_file.is_none().then_some(keys);
            let issuer = Setting::new("AUTH0_ISSUER", found);
            facts.recommend([issuer].into_iter().chain(keys).collect())
        }
        _ => Vec::new(),
    };
    Advice::from(words::STYTCH_ISSUER).with(settings)
}

#[rustfmt::skip] // one line for each mistake
fn of_vendor(vendor: Vendor, ours: Option<Vendor>, facts: &Facts<'_>, error: AuthError) -> Option<Cause> {
    use AuthError::{AlgorithmNotAllowed, BadSignature, KeysUnavailable, MissingClaim, TokenNotJwt, UnknownIssuer, UnknownKey, WrongAudience, WrongTokenType};
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| facts.token.starts_with(prefix));
    let without_audience = error == MissingClaim && facts.failed("aud")
        || error == WrongAudience && facts.has_empty_audience();
    // The vendor may come from the configuration, and the token from elsewhere
    let is_of = |vendor| Vendor::of_issuer(facts.text("iss").unwrap_or_default()) == Some(vendor);
    let has_audience = |test: &dyn Fn(&str) -> bool| facts.audiences().iter().any(|one| test(one));
    Some(match (vendor, error) {
        (Vendor::ClerkSessions, TokenNotJwt) if starts(&["oat_", "mt_", "ak_"]) => words::CLERK_OPAQUE,
        (Vendor::ClerkSessions, TokenNotJwt) if starts(&["sk_", "pk_"]) => words::CLERK_KEY,
        (Vendor::Apple, WrongAudience) if !without_audience => words::APPLE_LOGIN,
        (Vendor::Auth0, WrongAudience) if is_client_as_audience(facts) => words::AUTH0_CLIENT_AS_AUDIENCE,
        (Vendor::Authentik, WrongAudience) if !without_audience => words::AUTHENTIK_AUDIENCE,
        (Vendor::ClerkSessions, WrongAudience | MissingClaim) if without_audience => words::CLERK_AUDIENCE,
        (Vendor::ClerkSessions, WrongAudience) => words::CLERK_OTHER_AUDIENCE,
        (Vendor::CloudflareAccess, _) if facts.text("type") == Some("org") => words::CLOUDFLARE_ORG,
        (Vendor::Cognito, WrongAudience | WrongTokenType) if facts.text("token_use") == Some("id") => words::COGNITO_ID_TOKEN,
        (Vendor::Cognito, WrongAudience | MissingClaim) if without_audience => words::COGNITO_AUDIENCE,
        (Vendor::FastMcp, UnknownIssuer | UnknownKey | KeysUnavailable { .. }) if facts.text("iss") == Some("https://fastmcp.example.com") => words::FASTMCP_TEST,
        (Vendor::FastMcp, AlgorithmNotAllowed | UnknownIssuer | WrongAudience | BadSignature) if facts.header("alg") == Some("HS256") => words::FASTMCP_PROXY,
        (Vendor::Firebase, AlgorithmNotAllowed) if facts.header("alg") == Some("none") => words::FIREBASE_EMULATOR,
        (Vendor::Firebase, UnknownIssuer | WrongAudience) if has_audience(&|one| one.contains("identitytoolkit")) => words::FIREBASE_CUSTOM,
        (Vendor::Firebase, UnknownIssuer) if facts.text("iss").is_some_and(|iss| iss.contains("session.firebase")) => words::FIREBASE_SESSION,
        (Vendor::Firebase, UnknownIssuer) if ours == Some(Vendor::Firebase) && is_of(Vendor::Firebase) => words::FIREBASE_AUDIENCE,
        (Vendor::GithubActions, UnknownIssuer) if is_runtime_token(facts) => words::GITHUB_RUNTIME,
        (Vendor::GithubActions, UnknownIssuer) if ours == Some(Vendor::GithubActions) && is_of(Vendor::GithubActions) => words::GITHUB_ENTERPRISE,
        (Vendor::Glewlwyd, WrongAudience) => words::GLEWLWYD_AUDIENCE,
        (Vendor::Glewlwyd, MissingClaim) if without_audience => words::GLEWLWYD_AUDIENCE,
        (Vendor::Google, TokenNotJwt) if starts(&["ya29."]) => words::GOOGLE_ACCESS_TOKEN,
        (Vendor::Google, UnknownIssuer) if ours == Some(Vendor::Iap) => words::IAP_GOOGLE_TOKEN,
        (Vendor::Google, WrongAudience) if has_audience(&|one| one.ends_with(".apps.googleusercontent.com")) => words::GOOGLE_LOGIN,
        (Vendor::Google, UnknownIssuer) if is_service_account(facts) => words::GOOGLE_SELF_SIGNED,
        (Vendor::Kubernetes, UnknownIssuer | MissingClaim) if facts.text("iss") == Some("kubernetes/serviceaccount") => words::KUBERNETES_LEGACY,
        (Vendor::Okta, WrongTokenType) if facts.header("typ").is_some_and(|typ| typ.contains("okta-internal-at")) => words::OKTA_ORG,
        (Vendor::Okta, UnknownIssuer | WrongAudience) if is_okta_org(facts) => words::OKTA_ORG,
        (Vendor::Okta, WrongAudience) if !facts.has(&["cid", "scp"]) => words::OKTA_ID_TOKEN,
        (Vendor::Stytch, TokenNotJwt) => words::STYTCH_OPAQUE,
        (Vendor::Stytch, UnknownIssuer) if ours == Some(Vendor::Stytch) && is_of(Vendor::Stytch) => words::STYTCH_AUDIENCE,
        (Vendor::Supabase, TokenNotJwt) if starts(&["sb_"]) => words::SUPABASE_API_KEY,
        (Vendor::Supabase, _) if facts.text("iss") == Some("supabase") => words::SUPABASE_API_KEY,
        (Vendor::WorkOs, TokenNotJwt) => words::WORKOS_OPAQUE,
        (Vendor::WorkOs, WrongAudience | MissingClaim) if without_audience => words::WORKOS_AUDIENCE,
        (Vendor::Zitadel, TokenNotJwt) => words::ZITADEL_OPAQUE,
        _ => return None,
    })
}

/// A configured audience is the client that fetched the token, which is an access token.
fn is_client_as_audience(facts: &Facts<'_>) -> bool {
    let client = facts.text("azp").or(facts.text("client_id"));
    let is_ours = |client: &str| facts.accepted.iter().any(|our| our == client);
    client.is_some_and(is_ours) && facts.audiences().iter().any(|one| one.contains(':'))
}

/// A service account of Google signs such tokens itself
fn is_service_account(facts: &Facts<'_>) -> bool {
    facts
        .text("iss")
        .is_some_and(|iss| iss.ends_with(".gserviceaccount.com"))
}

/// With this token, a runner calls the services of GitHub Actions
fn is_runtime_token(facts: &Facts<'_>) -> bool {
    facts
        .text("iss")
        .is_some_and(|iss| iss.contains("actions.githubusercontent.com") && iss.contains("vstoken"))
}

/// Is this an access token of Okta's org authorization server?
fn is_okta_org(facts: &Facts<'_>) -> bool {
    let issuer = facts.text("iss").unwrap_or_default();
    facts.has(&["cid"]) && !issuer.contains("/oauth2/")
}

/// `None` if the general wording fits
#[rustfmt::skip] // one line for each cause
fn translated(vendor: Vendor, cause: Cause) -> Option<Cause> {
    if vendor == Vendor::Auth0 {
        return Some(match cause {
            causes::OPAQUE => causes::AUTH0_OPAQUE,
            causes::ENCRYPTED => causes::AUTH0_ENCRYPTED,
            causes::HS256_API => causes::AUTH0_HS256,
            causes::NOT_AT_JWT => causes::AUTH0_NOT_AT_JWT,
            causes::ID_TOKEN => causes::AUTH0_ID_TOKEN,
            causes::OTHER_API => causes::AUTH0_OTHER_API,
            causes::NO_AUDIENCE => causes::AUTH0_NO_AUDIENCE,
            causes::SCOPE_OF_MACHINE => causes::AUTH0_SCOPE_OF_MACHINE,
            causes::SCOPE_OF_USER => causes::AUTH0_SCOPE_OF_USER,
            causes::RBAC_OFF => causes::AUTH0_RBAC_OFF,
            causes::NOT_ASSIGNED => causes::AUTH0_NOT_ASSIGNED,
            _ => return None,
        });
    }
    let is_audience = matches!(cause, causes::OTHER_API | causes::ID_TOKEN);
    let is_scope = matches!(cause, causes::SCOPE_OF_MACHINE | causes::SCOPE_OF_USER);
    Some(match vendor {
        Vendor::CloudflareAccess if is_audience => words::CLOUDFLARE_AUDIENCE,
        Vendor::Cognito if is_audience => words::COGNITO_OTHER_API,
        Vendor::Firebase if is_audience => words::FIREBASE_AUDIENCE,
        Vendor::GithubActions if is_audience => words::GITHUB_AUDIENCE,
        Vendor::Google if is_audience => words::GOOGLE_AUDIENCE,
        Vendor::Iap if is_audience => words::IAP_AUDIENCE,
        Vendor::Kubernetes if is_audience => words::KUBERNETES_AUDIENCE,
        Vendor::Okta if cause == causes::OTHER_API => words::OKTA_AUDIENCE,
        Vendor::Stytch if is_audience => words::STYTCH_AUDIENCE,
        Vendor::Supabase if is_audience => words::SUPABASE_AUDIENCE,
        Vendor::Zitadel if is_audience => words::ZITADEL_AUDIENCE,
        Vendor::ClerkSessions if cause == causes::EXPIRED => words::CLERK_EXPIRED,
        Vendor::ClerkSessions if is_scope => words::CLERK_SCOPE,
        Vendor::CloudflareAccess if is_scope => words::CLOUDFLARE_SCOPE,
        Vendor::Cognito if is_scope => words::COGNITO_SCOPE,
        Vendor::Entra if is_scope => words::ENTRA_SCOPE,
        Vendor::Firebase if is_scope => words::FIREBASE_SCOPE,
        Vendor::GithubActions if is_scope => words::GITHUB_SCOPE,
        Vendor::Google if is_scope => words::GOOGLE_SCOPE,
        Vendor::Iap if is_scope => words::IAP_SCOPE,
        Vendor::Keycloak if is_scope => words::KEYCLOAK_SCOPE,
        Vendor::Kubernetes if is_scope => words::KUBERNETES_SCOPE,
        Vendor::Okta if is_scope => words::OKTA_SCOPE,
        Vendor::Supabase if is_scope => words::SUPABASE_SCOPE,
        Vendor::WorkOs if is_scope => words::WORKOS_SCOPE,
        _ => return None,
    })
}

/// Finds out why a route that requires `scope` rejects the token.
pub(in crate::service) fn of_policy(
    facts: &Facts<'_>,
    error: AuthError,
    scope: Option<&str>,
    unmet: Option<RuleKind<'_>>,
) -> Advice {
    let permissions = facts.claim("permissions");
    if error == AuthError::InsufficientPermissions {
        let cause = match unmet {
            Some(RuleKind::Role(name)) => return of_role(facts, name, "AUTH0_ROLES_AT"),
            Some(RuleKind::Group(name)) => return of_role(facts, name, "AUTH0_GROUPS_AT"),
            Some(RuleKind::Claim) => return causes::NO_SUCH_CLAIM.into(),
            Some(RuleKind::Permission(Some(name))) if scopes_of(facts).contains(&name) => {
                causes::PERMISSION_AS_SCOPE
            }
            Some(RuleKind::Permission(Some(name))) if is_in_list(permissions, name) => {
                let sentence = "It has the name in a string with several names.";
                return Advice::from(causes::PERMISSIONS_FORM).and(sentence);
            }
            _ if permissions.is_some_and(|claim| !is_texts(claim)) => causes::PERMISSIONS_FORM,
            _ if permissions.is_none() => causes::RBAC_OFF,
            _ => causes::NOT_ASSIGNED,
        };
        return in_its_words(facts, cause).into();
    }
    let wanted: Vec<_> = scope.unwrap_or_default().split(' ').collect();
    let granted = texts(permissions);
    if wanted.iter().all(|scope| granted.contains(scope)) {
        return causes::SCOPE_AS_PERMISSION.into();
    }
    if scope.is_some()
        && wanted
            .iter()
            .all(|scope| is_spelled_otherwise(facts, scope))
    {
        return scope_spelling(facts, &wanted);
    }
    if vendor_of(facts) == Some(Vendor::Entra)
        && let Some(advice) = microsoft::scope(facts, &wanted, &scopes_of(facts))
    {
        return advice;
    }
    if let Some(advice) = scope.and_then(|_| of_scope_elsewhere(facts, &wanted)) {
        return advice;
    }
    let has_scopes = facts.has(&["scp", "scope"]);
    if !has_scopes && !texts(facts.claim("roles")).is_empty() {
        return causes::ROLES_NOT_SCOPES.into();
    }
    let cause = match SubjectKind::of(&facts.trace.payload.to_string()) {
        SubjectKind::Machine => causes::SCOPE_OF_MACHINE,
        SubjectKind::User | SubjectKind::Unknown => causes::SCOPE_OF_USER,
    };
    in_its_words(facts, cause).into()
}

/// The token has the scope with another case, in a list with other separators, or in the claim
/// `scopes`.
fn is_spelled_otherwise(facts: &Facts<'_>, scope: &str) -> bool {
    let claims = ["scope", "scp", "scopes"].into_iter();
    let mut names = claims
        .flat_map(|name| texts(facts.claim(name)))
        .flat_map(|text| text.split(|c: char| c.is_whitespace() || ",;+".contains(c)));
    names.any(|name| name.eq_ignore_ascii_case(scope))
}

/// Shows the claim that has a scope in another form, and where the form is not obvious.
fn scope_spelling(facts: &Facts<'_>, wanted: &[&str]) -> Advice {
    let advice = Advice::from(causes::SCOPE_SPELLING);
    let has_name = |text: &str, separators: &[char]| {
        let names = text.split(separators);
        text.contains(separators) && names.into_iter().any(|name| wanted.contains(&name))
    };
    let items = ["scope", "scp"]
        .into_iter()
        .filter_map(|name| facts.claim(name)?.as_array());
    let mut items = items.flatten().filter_map(Value::as_str);
    if items.any(|item| has_name(item, &[' '])) {
        return advice
            .and("Here, an item of the array has several names with spaces between them.");
    }
    let claims = ["scope", "scp"].into_iter();
    let mut texts = claims.flat_map(|name| texts(facts.claim(name)));
    if texts.any(|text| has_name(text, &['+'])) {
        return advice.and("Here, + is between the names, which stands for a space only in a URL.");
    }
    advice
}

/// The names in `scope` and `scp`
fn scopes_of<'a>(facts: &Facts<'a>) -> Vec<&'a str> {
    let claims = ["scope", "scp"].into_iter();
    let texts = claims.flat_map(|name| texts(facts.claim(name)));
    texts.flat_map(|text| text.split(' ')).collect()
}

/// Whether a claim has `name` in a string with several names
fn is_in_list(claim: Option<&Value>, name: &str) -> bool {
    let mut texts = texts(claim).into_iter();
    texts.any(|text| {
        let mut names = text.split([' ', ',', ';']);
        text != name && names.any(|one| one.trim() == name)
    })
}

/// An array of strings, or one string
fn is_texts(claim: &Value) -> bool {
    claim.is_string()
        || claim
            .as_array()
            .is_some_and(|items| items.iter().all(Value::is_string))
}

/// Recognizes scopes with a prefix, e.g. `api://GUID/read`, and scopes in another claim, e.g.
/// `SCOPE_read` in `authorities`.
fn of_scope_elsewhere(facts: &Facts<'_>, wanted: &[&str]) -> Option<Advice> {
    let missing = |name: &&&str| !scopes_of(facts).contains(*name);
    let name = wanted.iter().find(missing)?;
    let has_prefix = |granted: &&str| {
        let prefix = granted.strip_suffix(name);
        prefix.is_some_and(|prefix| prefix.ends_with(['/', ':', '.']) && prefix.len() > 1)
    };
    if let Some(granted) = scopes_of(facts).into_iter().find(has_prefix) {
        let sentence = format!("It has {}.", ShownText::new(granted));
        return Some(Advice::from(causes::SCOPE_PREFIXED).and(&sentence));
    }
    let spellings = [(*name).to_owned(), format!("SCOPE_{name}")];
    let mut own = facts.trace.payload.clone();
    let members = own.as_object_mut()?;
    members.retain(|member, _| !["scope", "scp"].contains(&member.as_str()));
    let places = spellings.iter().flat_map(|name| places_of(&own, name));
    let places: Vec<_> = places.collect();
    let is_of_issuer = |path: &[String]| {
        path.iter()
            .all(|member| names_scopes(member) && !is_chosen_by_caller(member))
    };
    let of_issuer = places.iter().find(|path| is_of_issuer(path));
    let path = of_issuer.or(places.first())?;
    let sentence = format!("It is in {}.", ShownText::new(&path.join(".")));
    let advice = Advice::from(causes::SCOPE_ELSEWHERE).and(&sentence);
    if of_issuer.is_some() {
        return Some(advice);
    }
    let advice = advice.and("The client or the user may be able to choose what is in that claim.");
    Some(advice.fixed_by(SCOPE_OF_ISSUER.to_owned()))
}

/// Without the suggestion to require a claim that the caller may be able to choose
const SCOPE_OF_ISSUER: &str = "Have the issuer write the name into scope, for the users and the applications that should have it.";

/// Without the names of the variables, for the same reason
const ROLE_OF_ISSUER: &str = "Assign it at the issuer, have the issuer write it into the claim that this service reads, and fetch a new token.";

/// Advice for a missing role or group. `variable` sets the claim that should have it.
fn of_role(facts: &Facts<'_>, name: &str, variable: &'static str) -> Advice {
    let is_group = variable == "AUTH0_GROUPS_AT";
    let is_overage = facts
        .claim("_claim_names")
        .is_some_and(|names| names.get("groups").is_some());
    if is_group && is_overage {
        return words::ENTRA_OVERAGE.into();
    }
    let payload = without_other_clients(facts);
    let places = places_of(&payload, name);
    let place = |names_roles: bool| {
        let mut places = places.iter();
        places.find(|path| is_path_of_roles(path) == names_roles)
    };
    let kind = if is_group { "groups" } else { "roles" };
    match (place(true), place(false)) {
        // if a claim's name has a dot, no path can name a member of it
        (Some(path), _) if path.len() > 1 && path.iter().any(|member| member.contains('.')) => {
            let sentence = format!(
                "It is in {}, which no path can name, because one of its names contains a dot.",
                ShownText::new(&path.join(" > "))
            );
            Advice::from(causes::ROLE_SPELLING).and(&sentence)
        }
        (Some(path), _) => {
            let path = path.join(".");
            let sentence = format!("It is in {}.", ShownText::new(&path));
            let settings = facts.recommend(vec![Setting::new(variable, path)]);
            let fix =
                format!("If this issuer writes {kind} into that claim, set {variable} to it.");
            let advice = Advice::from(causes::ROLE_ELSEWHERE).with(settings);
            advice.and(&sentence).fixed_by(fix)
        }
        (None, Some(path)) => {
            // Clients request audiences and scopes, and users choose how they log in
            let is_requested =
                |member: &str| ["aud", "scope", "scp", "scopes", "amr"].contains(&member);
            let mut members = path.iter();
            let is_chosen =
                members.any(|member| is_requested(member) || is_chosen_by_caller(member));
            let why = if is_chosen {
                "the client or the user may be able to choose what is in it"
            } else {
                "the name of that claim does not say that the issuer writes them there"
            };
            let sentence = format!(
                "The name is in {}, but that is no place for {kind}: {why}.",
                ShownText::new(&path.join("."))
            );
            let advice = Advice::from(causes::NO_ROLE).and(&sentence);
            advice.fixed_by(ROLE_OF_ISSUER.to_owned())
        }
        (None, None) => match form_of(&payload, name, &mut Vec::new()) {
            Some((path, found)) => {
                let (path, found) = (path.join("."), ShownText::new(&found).to_string());
                let sentence = format!("It has {found} in {}.", ShownText::new(&path));
                Advice::from(causes::ROLE_SPELLING).and(&sentence)
            }
            None => match client_with_role(facts, name) {
                Some(client) => {
                    let sentence = format!("That client is {}.", ShownText::new(client));
                    Advice::from(words::KEYCLOAK_OTHER_CLIENT).and(&sentence)
                }
                None => in_its_words(facts, causes::NO_ROLE).into(),
            },
        },
    }
}

/// The payload without the roles that Keycloak's users have in other clients, such as `account`.
fn without_other_clients(facts: &Facts<'_>) -> Value {
    let mut payload = facts.trace.payload.clone();
    let clients = payload
        .get_mut("resource_access")
        .and_then(Value::as_object_mut);
    if let Some(clients) = clients {
        clients.retain(|client, _| facts.accepted.contains(client));
    }
    payload
}

fn client_with_role<'f>(facts: &Facts<'f>, name: &str) -> Option<&'f str> {
    let mut clients = facts.claim("resource_access")?.as_object()?.iter();
    let client = clients.find(|(_, access)| texts(access.get("roles")).contains(&name))?;
    Some(client.0)
}

/// Whether an issuer has roles or groups at this path, as far as the names tell. Otherwise, we must
/// not recommend to read roles there: clients choose what is in `aud`, `scope` and similar claims,
/// and users edit `user_metadata`.
fn is_path_of_roles(path: &[String]) -> bool {
    // Keycloak: `realm_access.roles` and `resource_access.CLIENT.roles`
    let members = match path {
        [realm, rest @ ..] if realm == "realm_access" => rest,
        [resource, _, rest @ ..] if resource == "resource_access" => rest,
        _ => path,
    };
    let is_of_roles = |member: &String| names_roles(member) && !is_chosen_by_caller(member);
    !members.is_empty() && members.iter().all(is_of_roles)
}

/// Whether a claim's name says that it holds roles or groups. Only the last part of a name with a
/// namespace counts, such as `roles` in `https://my.app/roles` and `cognito:groups`.
fn names_roles(member: &str) -> bool {
    let name = last_part(member);
    names_only(name, &ROLES) || words(name) == ["member", "of"]
}

/// Like [`names_roles`], for scopes.
fn names_scopes(member: &str) -> bool {
    names_roles(member) || names_only(last_part(member), &SCOPES)
}

const ROLES: [&str; 10] = [
    "role",
    "roles",
    "group",
    "groups",
    "membership",
    "memberships",
    "authority",
    "authorities",
    "entitlement",
    "entitlements",
];

const SCOPES: [&str; 6] = [
    "scope",
    "scopes",
    "permission",
    "permissions",
    "privilege",
    "privileges",
];

/// Whether a name is one of these nouns, alone or after words that don't change whose it is. In
/// others, such as `desired_role`, somebody may only wish for it.
fn names_only(name: &str, nouns: &[&str]) -> bool {
    const WORDS: [&str; 8] = [
        "user",
        "users",
        "app",
        "client",
        "realm",
        "security",
        "directory",
        "assigned",
    ];
    let words = words(name);
    match &words[..] {
        [before @ .., noun] => {
            nouns.contains(&&**noun) && before.iter().all(|word| WORDS.contains(&&**word))
        }
        [] => false,
    }
}

/// The words of `snake_case`, `kebab-case` or `camelCase`, in lower case
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || was_lower && c.is_uppercase() {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if let Some(last) = words.last_mut()
            && c.is_alphanumeric()
        {
            last.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Members that the client or the user can write, at Auth0, Clerk, Cognito, Supabase and others
fn is_chosen_by_caller(member: &str) -> bool {
    let parts = ["user_meta", "usermeta", "unsafe", "request", "prefer"];
    member.starts_with("custom:") || has_word(member, &parts)
}

fn last_part(member: &str) -> &str {
    let member = member.trim_end_matches('/');
    member.rsplit(['/', ':', '#']).next().unwrap_or(member)
}

fn has_word(name: &str, words: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// Returns the path of a claim that has the name in another form, and that form. The name may have
/// another case or a prefix, or be part of a string, an object or a path, or be the name of a
/// member.
fn form_of(value: &Value, name: &str, path: &mut Vec<String>) -> Option<(Vec<String>, String)> {
    let same = |found: &str| {
        let last = found.rsplit(['/', ':']).next().unwrap_or(found);
        let bare = last.split(',').next().unwrap_or(last);
        let bare = bare
            .strip_prefix("ROLE_")
            .or(bare.strip_prefix("cn="))
            .or(bare.strip_prefix("CN="));
        [found, last, bare.unwrap_or(last)]
            .iter()
            .any(|one| one.eq_ignore_ascii_case(name))
    };
    let in_list = |text: &str| {
        text.split([' ', ',', ';'])
            .any(|one| one.trim().eq_ignore_ascii_case(name))
    };
    let text = |text: &str| (same(text) || in_list(text)).then(|| text.to_owned());
    let members = value.as_object().filter(|_| path.len() < MAX_DEPTH)?;
    let mut members = members
        .iter()
        .filter(|(member, _)| !is_chosen_by_caller(member));
    members.find_map(|(member, value)| {
        path.push(member.clone());
        let is_about_names = path.iter().any(|member| names_roles(member));
        let found = match value {
            Value::String(one) if is_about_names => text(one),
            Value::Array(items) if is_about_names => items.iter().find_map(|item| match item {
                Value::String(one) => text(one),
                Value::Object(members) => {
                    let mut texts = members.values().filter_map(Value::as_str);
                    texts.any(same).then(|| item.to_string())
                }
                _ => None,
            }),
            Value::Object(members) if is_about_names && members.keys().any(|key| same(key)) => {
                Some(format!("the member {name}"))
            }
            _ => None,
        };
        let found = found
            .map(|found| (path.clone(), found))
            .or_else(|| form_of(value, name, path));
        path.pop();
        found
    })
}

/// How many members a path may have in a search
const MAX_DEPTH: usize = 3;

/// The paths of the claims that are this name, or a list that contains it.
fn places_of(payload: &Value, name: &str) -> Vec<Vec<String>> {
    let mut places = Vec::new();
    add_places(payload, name, &mut Vec::new(), &mut places);
    places
}

fn add_places(value: &Value, name: &str, path: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
    let Some(members) = value.as_object().filter(|_| path.len() < MAX_DEPTH) else {
        return;
    };
    for (member, value) in members {
        path.push(member.clone());
        let lists = match value {
            Value::Array(items) => items.iter().any(|item| item == name),
            // Other texts, e.g. a user's name, are only the same by chance
            Value::String(text) => text == name && has_word(member, &["role", "group", "scope"]),
            _ => false,
        };
        if lists {
            places.push(path.clone());
        }
        add_places(value, name, path, places);
        path.pop();
    }
}

/// The token's audience is the configured resource.
pub(in crate::service) fn of_resource(facts: &Facts<'_>) -> Option<Advice> {
    let resource = facts.config.resource.as_deref()?;
    let is_for_resource = facts.audiences().contains(&resource);
    let is_listed = facts.accepted.iter().any(|our| our == resource);
    if !is_for_resource || is_listed {
        return None;
    }
    let audiences = format!("{},{resource}", facts.config.audiences.join(","));
    let setting = Setting::new("AUTH0_API_AUDIENCE", audiences);
    let settings = facts.recommend(vec![setting]);
    Some(Advice::from(words::MCP_AUDIENCE).with(settings))
}
