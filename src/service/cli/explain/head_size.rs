//! Tokens that are too large for the service, or for its limit for the head of a request.

use crate::{
    auth::TOKEN_SIZES,
    service::{
        api::errors::causes,
        cli::explain::advice::Advice,
        config::{
            Config, Environment, Setting,
            limits::{least_limit, roomy_limit},
        },
    },
};

/// The largest value of `AUTH0_MAX_TOKEN_BYTES`
const MAX_TOKEN: usize = *TOKEN_SIZES.end();

/// The size of the smallest head of a request for this target with these fields.
pub(super) fn least_head<'a>(
    target: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> usize {
    let least = "GET  HTTP/1.1\r\nHost: a\r\n\r\n".len() + target.len();
    let fields = fields.into_iter();
    fields.fold(least, |sum, (name, value)| {
        sum + name.len() + ": \r\n".len() + value.len()
    })
}

/// Advice for a token of `token` bytes.
pub(super) fn token_too_large(config: &Config, environment: &Environment, token: usize) -> Advice {
    let settings = room_for(config, environment, token, 0);
    let advice = Advice::from(causes::TOO_LARGE);
    let advice = match &settings[..] {
        _ if token > MAX_TOKEN => advice.fixed_by(OVER_MAXIMUM.to_owned()),
        [_, _, ..] => {
            let fix = "The service then needs a larger MAX_HEADER_BYTES, too.";
            advice.fixed_by(format!("{} {fix}", causes::TOO_LARGE.fix))
        }
        _ => advice,
    };
    advice.with(settings)
}

/// Advice for a request with a head of at least `head` bytes, `token` of which are the token.
pub(super) fn head_too_large(
    config: &Config,
    environment: &Environment,
    head: usize,
    token: usize,
) -> Advice {
    let what = format!(
        "With this token, the head of a request has {head} bytes or more, and MAX_HEADER_BYTES is {}. The service answers 431, without a code, and does not read the token.",
        config.limits.head
    );
    let settings = room_for(config, environment, token, head);
    let fix = if token > MAX_TOKEN {
        OVER_MAXIMUM
    } else if token > config.max_token_bytes {
        "Remove claims where the issuer adds them to the token. If they have to stay, raise AUTH0_MAX_TOKEN_BYTES, to 64KiB at most. MAX_HEADER_BYTES has to be at least 4KiB more."
    } else {
        "Remove claims where the issuer adds them to the token. If they have to stay, raise MAX_HEADER_BYTES to at least AUTH0_MAX_TOKEN_BYTES plus 4KiB."
    };
    Advice {
        what: what.into(),
        fix: fix.into(),
        settings,
    }
}

const OVER_MAXIMUM: &str = "Remove claims where the issuer adds them to the token. No setting accepts a token of more than 64KiB.";

/// The lines with which the service reads a token and a head of these sizes. Empty if there are
/// none.
fn room_for(config: &Config, environment: &Environment, token: usize, head: usize) -> Vec<Setting> {
    if token > MAX_TOKEN {
        return Vec::new();
    }
    let mut settings = Vec::new();
    let mut max_token = config.max_token_bytes;
    if token > max_token {
        max_token = MAX_TOKEN;
        settings.push(Setting::new("AUTH0_MAX_TOKEN_BYTES", kib(max_token as u64)));
    }
    let head = head as u64;
    let needed = roomy_limit(max_token).max(least_limit(0) + head);
    let mut limit = u64::from(config.limits.head);
    // The limit for heads grows with that for tokens, unless it is set
    if environment.get("MAX_HEADER_BYTES").is_none() {
        limit = limit.max(roomy_limit(max_token));
    }
    if limit < head || limit < least_limit(max_token) {
        settings.push(Setting::new("MAX_HEADER_BYTES", kib(needed)));
    }
    environment.recommend(settings)
}

fn kib(bytes: u64) -> String {
    format!("{}KiB", bytes.div_ceil(1024))
}
