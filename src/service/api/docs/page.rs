//! `/docs`: Swagger UI, embedded in the binary.
//!
//! The page loads nothing from other hosts. Its content security policy allows requests only to its
//! own origin and, under `dev`, to the local issuer's token endpoint.

use std::{borrow::Cow, sync::Arc};

use hyper::body::Bytes;
use utoipa_swagger_ui::{Config, oauth, serve};
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

use crate::{auth::Problem, service::api::docs::Docs};

/// The files that the page loads. No other file is served.
pub const FILES: &[&str] = &[
    "swagger-ui.css",
    "index.css",
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    SETTINGS,
];

const SETTINGS: &str = "swagger-initializer.js";

/// The paths are absolute, because the page is served at both `/docs` and `/docs/`
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

/// Prepared once, and shared by all requests
#[derive(Debug, Clone)]
pub(in crate::service) struct Pages(Arc<PreparedPages>);

#[derive(Debug)]
struct PreparedPages {
    policy: HeaderValue,
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    name: &'static str,
    bytes: Bytes,
    content_type: HeaderValue,
    is_compressed: bool,
}

impl Pages {
    pub(in crate::service) fn page(&self) -> Response {
        let mut response = HttpResponse::new(PAGE).into_response();
        set(&mut response, CONTENT_TYPE, "text/html; charset=utf-8");
        set(&mut response, CACHE_CONTROL, "no-cache");
        set(&mut response, REFERRER_POLICY, "no-referrer");
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, self.0.policy.clone());
        response
    }

    pub(in crate::service) fn file(&self, name: &str) -> Response {
        let Some(file) = self.0.files.iter().find(|file| file.name == name) else {
            return Problem::NotFound.response();
        };
        let mut response = HttpResponse::new(file.bytes.clone()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, file.content_type.clone());
        set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
        if file.is_compressed {
            set(&mut response, CONTENT_ENCODING, "gzip");
        }
        let caching = match name {
            SETTINGS => "no-cache",
            _ => "public, max-age=3600",
        };
        set(&mut response, CACHE_CONTROL, caching);
        response
    }
}

impl Docs {
    pub(in crate::service) fn pages(&self) -> Pages {
        let settings = Arc::new(self.settings());
        let files = FILES.iter().filter_map(|name| file(name, &settings));
        Pages(Arc::new(PreparedPages {
            policy: self.policy(),
            files: files.collect(),
        }))
    }

    /// Swagger UI needs inline styles, and its style sheet embeds images as `data:` URLs
    fn policy(&self) -> HeaderValue {
        let issuer = self
            .tokens
            .as_ref()
            .map(|tokens| format!(" {}", tokens.url));
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data:; connect-src 'self'{}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            issuer.unwrap_or_default()
        );
        // The policy is ASCII unless the URL isn't. In that case, nothing may be loaded.
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
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
            // By default, Swagger UI sends the URL of the document to a public validator
            .validator_url("none")
    }
}

/// Gets a file from the binary. If it cannot be prepared, we log that and go on without.
fn file(name: &'static str, settings: &Arc<Config<'static>>) -> Option<File> {
    match serve(name, Arc::clone(settings)) {
        Ok(found) => {
            // a test checks that every name exists
            let found = found?;
            Some(File {
                name,
                bytes: match found.bytes {
                    Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                    Cow::Owned(bytes) => bytes.into(),
                },
                content_type: HeaderValue::from_str(&found.content_type).ok()?,
                is_compressed: found.gzpipped,
            })
        }
        Err(error) => {
            tracing::error!(%error, file = name, "generating a file of /docs failed");
            None
        }
    }
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
}
