//! `/docs`: Swagger UI, out of the binary.
//!
//! The page loads nothing from anywhere else, and is allowed to ask no other host than the one that
//! it comes from; in development the local issuer's token endpoint too.

use std::sync::Arc;

use utoipa_swagger_ui::{Config, SwaggerFile, oauth, serve};
use warp::{
    Reply,
    http::{
        HeaderName, HeaderValue, Response as HttpResponse,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    reply::Response,
};

use super::Docs;
use crate::auth::Problem;

/// What the page loads, and all that is served.
pub const FILES: &[&str] = &[
    "swagger-ui.css",
    "index.css",
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    SETTINGS,
];

/// The one that is made here.
const SETTINGS: &str = "swagger-initializer.js";

/// Paths from the root, for the page answers at `/docs` and at `/docs/`.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>warp-bearer</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/index.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/swagger-initializer.js"></script>
</html>
"#;

impl Docs {
    /// `GET /docs`
    pub(in crate::service) fn page(&self) -> Response {
        let mut response = HttpResponse::new(PAGE).into_response();
        set(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
        set(&mut response, CACHE_CONTROL, "no-cache");
        set(&mut response, REFERRER_POLICY, "no-referrer");
        set(&mut response, CONTENT_SECURITY_POLICY, &self.policy());
        response
    }

    /// `GET /docs/{file}`
    pub(in crate::service) fn file(&self, name: &str) -> Response {
        if !FILES.contains(&name) {
            return Problem::NotFound.response();
        }
        match serve(name, Arc::new(self.settings())) {
            Ok(Some(file)) => answer(file, name),
            // A test holds that each of the names is there.
            Ok(None) => Problem::NotFound.response(),
            Err(error) => {
                tracing::error!(%error, "the settings of /docs cannot be written");
                Problem::Internal.response()
            }
        }
    }

    /// Swagger UI styles elements inline, and its style sheet has pictures in it.
    fn policy(&self) -> String {
        let issuer = self
            .tokens
            .as_ref()
            .map(|tokens| format!(" {}", tokens.url));
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data:; connect-src 'self'{}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            issuer.unwrap_or_default()
        )
    }

    fn settings(&self) -> Config<'static> {
        const DESCRIPTION: [&str; 1] = ["/openapi.json"];
        let settings = match &self.tokens {
            None => Config::new(DESCRIPTION),
            Some(tokens) => {
                let client = oauth::Config::new()
                    .client_id(&tokens.client_id)
                    .client_secret(&tokens.client_secret);
                Config::with_oauth_config(DESCRIPTION, client)
            }
        };
        settings
            .use_base_layout()
            .display_request_duration(true)
            .try_it_out_enabled(true)
            // Swagger UI has a public service judge the description unless it is told not to.
            .validator_url("none")
    }
}

fn answer(file: SwaggerFile<'static>, name: &str) -> Response {
    let mut response = HttpResponse::new(file.bytes.into_owned()).into_response();
    set(&mut response, CONTENT_TYPE, &file.content_type);
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    if file.gzpipped {
        set(&mut response, CONTENT_ENCODING, "gzip");
    }
    let caching = match name {
        SETTINGS => "no-cache",
        _ => "public, max-age=3600",
    };
    set(&mut response, CACHE_CONTROL, caching);
    response
}

/// The values are ours and ASCII; one that is not is left out rather than taken for a reason to
/// panic.
fn set(response: &mut Response, name: HeaderName, value: &str) {
    let Ok(value) = HeaderValue::from_str(value) else {
        tracing::error!(%name, "a header value that is not ASCII is left out");
        return;
    };
    response.headers_mut().insert(name, value);
}
