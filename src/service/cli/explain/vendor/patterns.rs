//! Recognizes mistakes that are typical of one vendor, and words general causes for that vendor.

use serde_json::Value;

use crate::{
    auth::{AudienceClaim, AuthError, policy::RuleKind, token::subject::SubjectKind},
    service::{
        api::errors::{Cause, causes},
        cli::explain::{
            advice::Advice,
            facts::{Facts, texts},
            pasted::is_placeholder,
            vendor::{Vendor, words},
        },
        config::Setting,
    },
};

/// Returns the vendor of the token's issuer, or of the configured issuers if the token names none.
fn vendor_of(facts: &Facts<'_>) -> Option<Vendor> {
    Vendor::of_claims(&facts.trace.payload).or_else(|| match facts.text("iss") {
        None => configured(facts),
        // A custom domain of Auth0 cannot be recognized by name.
        Some(issuer) if facts.issuers().any(|our| our == issuer) => by_domain(facts),
        Some(_) => None,
    })
}

/// Returns the vendor of the configured issuers, if it is the same for all.
fn configured(facts: &Facts<'_>) -> Option<Vendor> {
    let mut vendors = facts.issuers().map(Vendor::of_issuer);
    let first = vendors.next()?;
    let is_common = vendors.all(|other| other == first);
    first.filter(|_| is_common).or_else(|| by_domain(facts))
}

/// Returns Auth0 if the issuer is configured with the variables of its tutorial.
fn by_domain(facts: &Facts<'_>) -> Option<Vendor> {
    let is_auth0 = facts.is_set("AUTH0_DOMAIN") && !facts.is_set("AUTH0_ISSUER");
    is_auth0.then_some(Vendor::Auth0)
}

/// Returns advice for a mistake that is visible in one vendor's tokens. `None` without a mistake.
pub(in crate::service) fn of_token(facts: &Facts<'_>, error: AuthError) -> Option<Advice> {
    // An AWS load balancer adds its own token, with any issuer.
    if error == AuthError::TokenMalformed {
        return of_padding(facts);
    }
    // The check compares a claim other than aud, so aud is not the mistake.
    let is_by_client = facts.config.audience_claim != AudienceClaim::Aud;
    if is_by_client && matches!(error, AuthError::WrongAudience | AuthError::MissingClaim) {
        return None;
    }
    let is_no_opaque_token = is_placeholder(facts.token) || facts.token.contains("eyJ");
    if error == AuthError::TokenNotJwt && is_no_opaque_token {
        return None;
    }
    let ours = configured(facts);
    match vendor_of(facts).or(ours)? {
        Vendor::Entra => entra(facts, error),
        Vendor::Keycloak => keycloak(facts, error).map(Advice::from),
        vendor => of_vendor(vendor, ours, facts, error).map(Advice::from),
    }
}

/// Returns a general cause, worded for the token's vendor.
pub(in crate::service) fn in_its_words(facts: &Facts<'_>, cause: Cause) -> Cause {
    match vendor_of(facts).and_then(|vendor| translated(vendor, cause)) {
        Some(cause) => cause,
        None => cause,
    }
}

/// Recognizes tokens with padded parts, from an AWS load balancer or another issuer.
pub(in crate::service) fn of_padding(facts: &Facts<'_>) -> Option<Advice> {
    let is_padded = facts.token.contains("=.") || facts.token.ends_with('=');
    if !is_padded {
        return None;
    }
    let header = facts.lenient_part(0);
    let signer = header["signer"].as_str().unwrap_or_default();
    if signer.starts_with("arn:aws") && signer.contains(":elasticloadbalancing:") {
        return Some(causes::LOAD_BALANCER.into());
    }
    // Every part is correctly padded, so the issuer created the token this way.
    let parts: Vec<_> = facts.token.split('.').collect();
    let is_consistent = parts.len() == 3 && parts.iter().all(|part| part.len() % 4 == 0);
    (is_consistent && header.is_object()).then(|| causes::PADDED.into())
}

/// Returns whether an audience is Microsoft Graph or another API of Microsoft's.
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
            if let Some(advice) = entra_spelling(facts, &audiences) {
                return Some(advice);
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
        _ => None,
    }
}

/// Returns the ID of the tenant in an issuer's name, and whether the issuer is of version 2.0.
fn entra_tenant(issuer: &str) -> Option<(&str, bool)> {
    let path = issuer.strip_prefix("https://")?.split_once('/')?.1;
    let tenant = path.split('/').next()?;
    let is_plain = tenant.len() == 36 && tenant.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_plain.then_some((tenant, path.trim_end_matches('/').ends_with("/v2.0")))
}

fn entra_issuer(facts: &Facts<'_>) -> Option<Advice> {
    let (tenant, is_v2) = entra_tenant(facts.text("iss")?)?;
    let is_common = |issuer: &str| {
        let issuer = issuer.trim_end_matches("/v2.0");
        ["/common", "/organizations", "/consumers"]
            .iter()
            .any(|name| issuer.ends_with(name))
    };
    if facts.issuers().any(is_common) {
        return Some(words::ENTRA_COMMON.into());
    }
    let mut ours = facts.issuers().filter_map(entra_tenant);
    let is_ours = ours.any(|(our, our_v2)| our == tenant && our_v2 != is_v2);
    // With several issuers, it is unknown which one to replace.
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

/// Recognizes an application under its other name: `GUID`, `api://GUID`, and `api://TENANT/GUID`.
fn entra_spelling(facts: &Facts<'_>, audiences: &[&str]) -> Option<Advice> {
    let is_guid =
        |name: &str| name.len() == 36 && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let bare = |name: &str| {
        let last = name.rsplit('/').next().filter(|last| is_guid(last));
        let name = last.or(name.strip_prefix("api://")).unwrap_or(name);
        name.to_ascii_lowercase()
    };
    let ours = &facts.config.audiences;
    let (at, found) = ours.iter().enumerate().find_map(|(at, our)| {
        let found = audiences.iter().find(|found| bare(found) == bare(our))?;
        Some((at, *found))
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
    // The clients that exist in every realm.
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
            // Another environment may have a realm with the same name but different keys.
            (is_same && facts.held("signature")).then_some(words::KEYCLOAK_HOSTNAME)
        }
        _ => None,
    }
}

#[rustfmt::skip] // one line for each mistake
fn of_vendor(vendor: Vendor, ours: Option<Vendor>, facts: &Facts<'_>, error: AuthError) -> Option<Cause> {
    use AuthError::{AlgorithmNotAllowed, BadSignature, KeysUnavailable, MissingClaim, TokenNotJwt, UnknownIssuer, UnknownKey, WrongAudience, WrongTokenType};
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| facts.token.starts_with(prefix));
    let without_audience = error == MissingClaim && facts.failed("aud");
    let has_audience = |test: &dyn Fn(&str) -> bool| facts.audiences().iter().any(|one| test(one));
    Some(match (vendor, error) {
        (Vendor::ClerkSessions, TokenNotJwt) if starts(&["oat_", "mt_", "ak_"]) => words::CLERK_OPAQUE,
        (Vendor::ClerkSessions, MissingClaim) if without_audience => words::CLERK_AUDIENCE,
        (Vendor::CloudflareAccess, _) if facts.text("type") == Some("org") => words::CLOUDFLARE_ORG,
        (Vendor::Cognito, WrongAudience | WrongTokenType) if facts.text("token_use") == Some("id") => words::COGNITO_ID_TOKEN,
        (Vendor::Cognito, MissingClaim) if without_audience => words::COGNITO_AUDIENCE,
        (Vendor::FastMcp, UnknownIssuer | UnknownKey | KeysUnavailable { .. }) if facts.text("iss") == Some("https://fastmcp.example.com") => words::FASTMCP_TEST,
        (Vendor::FastMcp, AlgorithmNotAllowed | UnknownIssuer | WrongAudience | BadSignature) if facts.header("alg") == Some("HS256") => words::FASTMCP_PROXY,
        (Vendor::Firebase, UnknownIssuer | WrongAudience) if has_audience(&|one| one.contains("identitytoolkit")) => words::FIREBASE_CUSTOM,
        (Vendor::Firebase, UnknownIssuer) if facts.text("iss").is_some_and(|iss| iss.contains("session.firebase")) => words::FIREBASE_SESSION,
        (Vendor::Firebase, UnknownIssuer) if ours == Some(Vendor::Firebase) => words::FIREBASE_AUDIENCE,
        (Vendor::GithubActions, UnknownIssuer) if ours == Some(Vendor::GithubActions) => words::GITHUB_ENTERPRISE,
        (Vendor::GithubActions, TokenNotJwt) if starts(&["ghs_", "ghp_", "gho_", "ghu_", "github_pat_"]) => words::GITHUB_TOKEN,
        (Vendor::Glewlwyd, WrongAudience) => words::GLEWLWYD_AUDIENCE,
        (Vendor::Glewlwyd, MissingClaim) if without_audience => words::GLEWLWYD_AUDIENCE,
        (Vendor::Google, TokenNotJwt) if starts(&["ya29."]) => words::GOOGLE_ACCESS_TOKEN,
        (Vendor::Google, UnknownIssuer) if ours == Some(Vendor::Iap) => words::IAP_GOOGLE_TOKEN,
        (Vendor::Google, WrongAudience) if has_audience(&|one| one.ends_with(".apps.googleusercontent.com")) => words::GOOGLE_LOGIN,
        (Vendor::Kubernetes, UnknownIssuer | MissingClaim) if facts.text("iss") == Some("kubernetes/serviceaccount") => words::KUBERNETES_LEGACY,
        (Vendor::Okta, WrongTokenType) if facts.header("typ").is_some_and(|typ| typ.contains("okta-internal-at")) => words::OKTA_ORG,
        (Vendor::Okta, UnknownIssuer | WrongAudience) if is_okta_org(facts) => words::OKTA_ORG,
        (Vendor::Okta, WrongAudience) if !facts.has(&["cid", "scp"]) => words::OKTA_ID_TOKEN,
        (Vendor::Stytch, TokenNotJwt) => words::STYTCH_OPAQUE,
        (Vendor::Supabase, TokenNotJwt) if starts(&["sb_"]) => words::SUPABASE_API_KEY,
        (Vendor::Supabase, _) if facts.text("iss") == Some("supabase") => words::SUPABASE_API_KEY,
        (Vendor::WorkOs, TokenNotJwt) => words::WORKOS_OPAQUE,
        (Vendor::WorkOs, MissingClaim) if without_audience => words::WORKOS_AUDIENCE,
        (Vendor::Zitadel, TokenNotJwt) => words::ZITADEL_OPAQUE,
        _ => return None,
    })
}

/// Returns whether an access token is from Okta's org authorization server.
fn is_okta_org(facts: &Facts<'_>) -> bool {
    let issuer = facts.text("iss").unwrap_or_default();
    facts.has(&["cid"]) && !issuer.contains("/oauth2/")
}

/// Returns a vendor's wording for a general cause. `None` if the general wording fits.
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

/// Returns the likely cause of an authorization error on a route that requires `scope`.
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
        return causes::SCOPE_SPELLING.into();
    }
    let has_scopes = facts.has(&["scp", "scope"]);
    if !has_scopes && !texts(facts.claim("roles")).is_empty() {
        let is_entra = vendor_of(facts) == Some(Vendor::Entra);
        return if is_entra {
            words::ENTRA_ROLES.into()
        } else {
            causes::ROLES_NOT_SCOPES.into()
        };
    }
    let cause = match SubjectKind::of(&facts.trace.payload.to_string()) {
        SubjectKind::Machine => causes::SCOPE_OF_MACHINE,
        SubjectKind::User | SubjectKind::Unknown => causes::SCOPE_OF_USER,
    };
    in_its_words(facts, cause).into()
}

/// Returns whether a token has a scope in other letters, in a list with other separators, or in the claim
/// `scopes`.
fn is_spelled_otherwise(facts: &Facts<'_>, scope: &str) -> bool {
    let claims = ["scope", "scp", "scopes"].into_iter();
    let mut names = claims
        .flat_map(|name| texts(facts.claim(name)))
        .flat_map(|text| text.split([' ', ',', ';', '+']));
    names.any(|name| name.eq_ignore_ascii_case(scope))
}

/// Returns the advice for a role or a group that a token lacks, in the claim that `variable` names.
fn of_role(facts: &Facts<'_>, name: &str, variable: &'static str) -> Advice {
    let is_group = variable == "AUTH0_GROUPS_AT";
    let is_overage = facts
        .claim("_claim_names")
        .is_some_and(|names| names.get("groups").is_some());
    if is_group && is_overage {
        return words::ENTRA_OVERAGE.into();
    }
    match place_of(&facts.trace.payload, name, "") {
        Some(path) => {
            let settings = facts.recommend(vec![Setting::new(variable, path)]);
            Advice::from(causes::ROLE_ELSEWHERE).with(settings)
        }
        None => in_its_words(facts, causes::NO_ROLE).into(),
    }
}

/// Returns the path of a claim that lists a name, at most three members deep.
fn place_of(value: &Value, name: &str, path: &str) -> Option<String> {
    const DEEPEST: usize = 3;
    let members = value.as_object()?;
    if path.split('.').filter(|part| !part.is_empty()).count() >= DEEPEST {
        return None;
    }
    members.iter().find_map(|(member, value)| {
        let path = if path.is_empty() {
            member.clone()
        } else {
            format!("{path}.{member}")
        };
        let lists = value
            .as_array()
            .is_some_and(|items| items.iter().any(|item| item == name));
        if lists {
            return Some(path);
        }
        place_of(value, name, &path)
    })
}

/// Returns the advice for a token whose audience is the configured resource.
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
