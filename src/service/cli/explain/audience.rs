//! Finds out why a token is not for a configured audience.

use serde_json::Value;

use crate::{
    auth::{AudienceClaim, token::json},
    service::{
        api::errors::{Cause, causes},
        cli::explain::{
            advice::Advice,
            facts::Facts,
            spelling::{difference, loose, without_slash},
            vendor::patterns::in_its_words,
        },
        config::Setting,
    },
};

/// Mistakes that look the same at every issuer, so no pattern of a vendor says more.
pub(super) fn of_any_issuer(facts: &Facts<'_>) -> Option<Advice> {
    if facts.config.audience_claim != AudienceClaim::Aud {
        return None;
    }
    of_slash(facts).or_else(|| {
        let mut found = facts.audiences().into_iter();
        let is_list = found.any(|one| has_several(facts, one));
        is_list.then(|| causes::AUDIENCE_LIST.into())
    })
}

pub(super) fn wrong(facts: &Facts<'_>) -> Advice {
    match cause(facts) {
        causes::AUDIENCE_SPELLING => spelling(facts),
        cause => in_its_words(facts, cause).into(),
    }
}

fn cause(facts: &Facts<'_>) -> Cause {
    if facts.config.audience_claim != AudienceClaim::Aud {
        return causes::OTHER_CLIENT;
    }
    let found = facts.audiences();
    if facts.has_empty_audience() {
        return causes::EMPTY_AUDIENCE;
    }
    if is_id_token(facts, &found) {
        return causes::ID_TOKEN;
    }
    let is_of_auth0 = |end: &str| !found.is_empty() && found.iter().all(|one| one.ends_with(end));
    if is_of_auth0("/userinfo") {
        return causes::USERINFO_ONLY;
    }
    let mut ours = facts.accepted.iter();
    if ours.any(|our| found.iter().any(|one| loose(our) == loose(one))) {
        return causes::AUDIENCE_SPELLING;
    }
    if found.iter().any(|one| one.ends_with(".auth0.com/api/v2/")) {
        return causes::MANAGEMENT_API;
    }
    // IdentityServer writes this for scopes that belong to no API
    let issuer = without_slash(facts.text("iss").unwrap_or_default());
    let is_general = |one: &&str| one.strip_suffix("/resources") == Some(issuer);
    if !found.is_empty() && found.iter().all(is_general) {
        return causes::GENERAL_AUDIENCE;
    }
    causes::OTHER_API
}

/// Whether a string has a configured audience among others: with separators, or as a JSON array.
fn has_several(facts: &Facts<'_>, audience: &str) -> bool {
    let is_ours = |name: &str| facts.accepted.iter().any(|our| our == name);
    if let Ok(Value::Array(items)) = json::value(audience) {
        return items.iter().filter_map(Value::as_str).any(is_ours);
    }
    let mut names = audience.split([' ', ',', ';']).map(str::trim);
    !is_ours(audience) && names.any(is_ours)
}

/// The audiences differ in the slash at the end, and in nothing else, so the line is the same name.
fn of_slash(facts: &Facts<'_>) -> Option<Advice> {
    let found = facts.audiences();
    let ours = &facts.config.audiences;
    let (at, one) = ours.iter().enumerate().find_map(|(at, our)| {
        let mut found = found.iter().filter(|one| !one.is_empty());
        let one = found.find(|one| without_slash(one) == without_slash(our))?;
        Some((at, *one))
    })?;
    let mut names = ours.clone();
    one.clone_into(&mut names[at]);
    let setting = Setting::new("AUTH0_API_AUDIENCE", names.join(","));
    let advice = Advice::from(causes::AUDIENCE_SPELLING).and(&difference(&ours[at], one));
    Some(advice.with(facts.recommend(vec![setting])))
}

fn spelling(facts: &Facts<'_>) -> Advice {
    let found = facts.audiences();
    let mut pairs = facts
        .accepted
        .iter()
        .flat_map(|our| found.iter().map(move |one| (our, *one)));
    let pair = pairs.find(|(our, one)| loose(our) == loose(one));
    let advice = Advice::from(causes::AUDIENCE_SPELLING);
    match pair {
        Some((our, one)) => advice.and(&difference(our, one)),
        None => advice,
    }
}

/// An ID token has claims that access tokens do not have (OpenID Connect Core §2 and §3.1.3.6), or
/// a client ID as audience and claims of a user profile.
fn is_id_token(facts: &Facts<'_>, audiences: &[&str]) -> bool {
    // ForgeRock names the kind of the token
    if facts.text("tokenName") == Some("id_token") {
        return true;
    }
    let of_client = audiences
        .iter()
        .all(|audience| !audience.contains([':', '/']));
    facts.has(&["nonce", "at_hash", "c_hash"])
        || of_client
            && facts.has(&["sid", "email", "name", "nickname", "picture"])
            && !facts.has(&["scope", "scp", "permissions", "gty", "cid", "roles"])
}
