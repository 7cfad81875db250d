//! Mistakes with Microsoft Entra ID: the names of an application, scopes and roles, and the hosts
//! of a tenant.

use crate::{
    auth::display::ShownText,
    service::{
        api::errors::Cause,
        cli::{
            entra::is_guid,
            explain::{
                advice::Advice,
                facts::{Facts, texts},
                vendor::words,
            },
        },
        config::Setting,
    },
};

/// The application's ID in one of its names, and the rest after a slash, which may be a scope.
fn parts_of(name: &str) -> Option<(&str, Option<&str>)> {
    let name = name.strip_prefix("spn:").unwrap_or(name);
    let name = name.strip_prefix("api://").unwrap_or(name);
    let (id, rest) = match name.split_once('/') {
        Some((id, rest)) => (id, Some(rest)),
        None => (name, None),
    };
    // with two IDs, the first one is the tenant's
    let is_plain = is_guid(id) && !rest.is_some_and(is_guid);
    is_plain.then_some((id, rest.filter(|rest| !rest.is_empty())))
}

/// The token's audience may be another name of this API.
pub(super) fn audience(facts: &Facts<'_>, audiences: &[&str]) -> Option<Advice> {
    let [found] = audiences else {
        return None;
    };
    let ours = &facts.config.audiences;
    // Only the ID counts: the name has nothing else, so it is no other application
    let its_id = parts_of(found).filter(|(_, rest)| rest.is_none());
    if let Some((id, _)) = its_id {
        let is_same =
            |our: &String| parts_of(our).is_some_and(|(our, _)| our.eq_ignore_ascii_case(id));
        if let Some(at) = ours.iter().position(is_same) {
            let mut renamed = ours.clone();
            (*found).clone_into(&mut renamed[at]);
            let setting = Setting::new("AUTH0_API_AUDIENCE", renamed.join(","));
            let has_scope = parts_of(&ours[at]).is_some_and(|(_, rest)| rest.is_some());
            let cause = if has_scope {
                words::ENTRA_SCOPE_AS_AUDIENCE
            } else {
                words::ENTRA_SPELLING
            };
            return Some(Advice::from(cause).with(facts.recommend(vec![setting])));
        }
    }
    if !facts.has(&["scp", "roles", "appid", "azp"]) {
        return None;
    }
    let names_guid = ours.iter().any(|our| parts_of(our).is_some());
    let shown = ShownText::new(found);
    let told = |cause: Cause, name: &str| {
        let fix = format!(
            "If {shown} is {name} of this API, set AUTH0_API_AUDIENCE to it. If it is another application, {}",
            "request a scope of this API, such as api://CLIENT_ID/SCOPE; applications without a user request api://CLIENT_ID/.default."
        );
        Some(Advice::from(cause).fixed_by(fix))
    };
    let is_v1 = facts.text("ver") == Some("1.0");
    match (is_guid(found), names_guid) {
        (true, false) if !is_v1 => told(words::ENTRA_CLIENT_ID, "the client ID"),
        (false, true) if is_v1 => told(words::ENTRA_ID_URI, "the application ID URI"),
        _ => None,
    }
}

/// Why a route that requires the scopes `wanted` rejects the token.
pub(super) fn scope(facts: &Facts<'_>, wanted: &[&str], granted: &[&str]) -> Option<Advice> {
    let mut missing = wanted
        .iter()
        .filter(|name| !name.is_empty() && !granted.contains(name));
    let short = |name: &&str| {
        let (prefix, short) = name.rsplit_once('/')?;
        (prefix.contains("://") && granted.contains(&short)).then(|| short.to_owned())
    };
    if let Some(short) = missing.clone().find_map(short) {
        let shown = ShownText::new(&short);
        let advice = Advice::from(words::ENTRA_SHORT_SCOPE).and(&format!("It has {shown}."));
        return Some(advice.fixed_by(format!(
            "Require {shown} here. Only the client's request has the whole name."
        )));
    }
    let roles = texts(facts.claim("roles"));
    let has_scopes = facts.has(&["scp"]);
    if !has_scopes && !roles.is_empty() {
        return Some(words::ENTRA_ROLES.into());
    }
    if missing.any(|name| roles.contains(name)) {
        return Some(words::ENTRA_ROLE_AS_SCOPE.into());
    }
    let same = facts.text("sub").zip(facts.text("oid"));
    let is_app = facts.text("idtyp") == Some("app") || same.is_some_and(|(sub, oid)| sub == oid);
    (is_app && !has_scopes).then(|| words::ENTRA_APP_ONLY.into())
}

/// An application with mapped claims has its own keys.
pub(super) fn own_keys(facts: &Facts<'_>) -> Option<Advice> {
    if facts.header("kid").is_none_or(str::is_empty) {
        return None;
    }
    let tenant = facts
        .issuers()
        .find_map(|our| Some(tenant_of(our)?.to_owned()));
    let tenant = tenant.unwrap_or_else(|| "TENANT_ID".to_owned());
    let mut ids = facts
        .config
        .audiences
        .iter()
        .filter_map(|our| parts_of(our));
    let id = ids.next().map_or("CLIENT_ID", |(id, _)| id);
    let url = format!("https://login.microsoftonline.com/{tenant}/discovery/keys?appid={id}");
    let is_file = facts.config.jwks_file.is_some();
    let keys = if is_file {
        format!("write the keys at {url} to the file of AUTH0_JWKS_FILE")
    } else {
        format!("set AUTH0_JWKS_URI to {url}")
    };
    let otherwise = if is_file || facts.auth.has_fixed_keys(facts.text("iss")?) {
        "If not, the file has old keys, or the token is old: fetch the keys into the file again, and fetch a new token."
    } else {
        "If not, the token is old: fetch a new one."
    };
    let fix = format!("If the registration of this API maps claims, {keys}. {otherwise}");
    Some(Advice::from(words::ENTRA_OWN_KEYS).fixed_by(fix))
}

/// The host of an issuer, and the segments of its path.
fn split(issuer: &str) -> Option<(&str, Vec<&str>)> {
    let (host, path) = issuer.strip_prefix("https://")?.split_once('/')?;
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    Some((host, segments.collect()))
}

fn tenant_of(issuer: &str) -> Option<&str> {
    let (_, segments) = split(issuer)?;
    segments.into_iter().find(|segment| is_guid(segment))
}

/// The token is from the configured tenant under another name: that of B2C, or at another host.
pub(super) fn of_host(facts: &Facts<'_>, found: &str) -> Option<Advice> {
    let (host, _) = split(found)?;
    let is_b2c = host.ends_with(".b2clogin.com");
    let ours: Vec<_> = facts
        .issuers()
        .filter_map(|our| Some((our, split(our)?)))
        .collect();
    // Each tenant of B2C has its own host
    let same_host = ours.iter().find(|(_, (our, _))| is_b2c && *our == host);
    if let Some((our, (_, segments))) = same_host {
        let is_other = tenant_of(our).is_some() && tenant_of(our) != tenant_of(found);
        return (!is_other).then(|| b2c(facts, host, segments, found));
    }
    let tenant = tenant_of(found)?;
    let version = |host: &str| match host {
        "sts.windows.net" | "login.microsoftonline.com" => Some("public"),
        "sts.chinacloudapi.cn" | "login.partner.microsoftonline.cn" => Some("China"),
        _ if host.ends_with(".ciamlogin.com") => Some("External ID"),
        _ => None,
    };
    let is_elsewhere = ours.iter().any(|(our, (our_host, _))| {
        let are_versions = version(our_host).is_some() && version(our_host) == version(host);
        tenant_of(our) == Some(tenant) && *our_host != host && !are_versions
    });
    is_elsewhere.then(|| words::ENTRA_OTHER_HOST.into())
}

/// The lines for a tenant of B2C. The keys come from the configured host, and from the configured
/// tenant and policy if the issuer has them.
fn b2c(facts: &Facts<'_>, host: &str, segments: &[&str], found: &str) -> Advice {
    let is_tenant = |name: &&&str| name.ends_with(".onmicrosoft.com") || is_guid(name);
    let tenant = segments.iter().find(is_tenant).map_or_else(
        || host.replace(".b2clogin.com", ".onmicrosoft.com"),
        |tenant| (*tenant).to_owned(),
    );
    let is_policy = |name: &&str| {
        let name = name.to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        name.starts_with("b2c_1") && name.chars().all(plain)
    };
    // Whoever made the token chose what it says, so the policy is that of the configuration
    let policy = segments.iter().copied().find(is_policy);
    let is_plain = found
        .strip_prefix(&format!("https://{host}/"))
        .and_then(|rest| rest.strip_suffix("/v2.0/"))
        .is_some_and(is_guid);
    let shown = policy.unwrap_or("POLICY");
    let url = format!("https://{host}/{tenant}/{shown}/discovery/v2.0/keys");
    let is_only = facts.issuers().count() == 1 && policy.is_some() && is_plain;
    let has_file = facts.config.jwks_file.is_some();
    let issuer = Setting::new("AUTH0_ISSUER", found);
    let settings = match (is_only, has_file) {
        (false, _) => Vec::new(),
        (true, true) => facts.recommend(vec![issuer]),
        (true, false) => facts.recommend(vec![issuer, Setting::new("AUTH0_JWKS_URI", &*url)]),
    };
    if !is_plain {
        return words::ENTRA_B2C.into();
    }
    let fix = format!(
        "Write AUTH0_ISSUER exactly as the token has it in iss, and set AUTH0_JWKS_URI to the keys of the policy, {url}."
    );
    Advice::from(words::ENTRA_B2C).fixed_by(fix).with(settings)
}
