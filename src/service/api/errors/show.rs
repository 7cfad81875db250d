//! Serves the error pages as HTML or JSON, depending on `Accept`.
//!
//! Every caller gets the same pages, so we render them once.

use std::{fmt::Write, sync::LazyLock};

use hyper::body::Bytes;
use serde_json::{Value, json};
use warp::{
    Reply,
    http::{
        HeaderMap, HeaderName, HeaderValue, Response as HttpResponse,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY},
    },
    reply::Response,
};

use crate::{
    auth::Problem,
    service::api::errors::{Page, pages::PAGES},
};

static INDEX: LazyLock<RenderedPage> = LazyLock::new(|| RenderedPage {
    html: index_html().into(),
    json: PAGES
        .iter()
        .map(summary)
        .collect::<Value>()
        .to_string()
        .into(),
});

/// In the order of [`PAGES`]
static RENDERED: LazyLock<Vec<RenderedPage>> = LazyLock::new(|| {
    let shown = |page| RenderedPage {
        html: page_html(page).into(),
        json: page_json(page).to_string().into(),
    };
    PAGES.iter().map(shown).collect()
});

struct RenderedPage {
    html: Bytes,
    json: Bytes,
}

/// Answers `GET /errors` with every code.
pub(in crate::service) fn index(headers: &HeaderMap) -> Response {
    INDEX.answer(headers)
}

pub(in crate::service) fn page(code: &str, headers: &HeaderMap) -> Response {
    match PAGES
        .iter()
        .zip(&*RENDERED)
        .find(|(page, _)| page.code == code)
    {
        None => Problem::NotFound.response(),
        Some((_, shown)) => shown.answer(headers),
    }
}

impl RenderedPage {
    fn answer(&self, headers: &HeaderMap) -> Response {
        if wants_html(headers) {
            let mut response = answer(&self.html, "text/html; charset=utf-8");
            let policy = "default-src 'none'; style-src 'unsafe-inline'";
            set(&mut response, CONTENT_SECURITY_POLICY, policy);
            return response;
        }
        answer(&self.json, "application/json")
    }
}

fn answer(document: &Bytes, kind: &'static str) -> Response {
    let mut response = HttpResponse::new(document.clone()).into_response();
    set(&mut response, CONTENT_TYPE, kind);
    set(&mut response, CACHE_CONTROL, "public, max-age=3600");
    set(&mut response, VARY, "Accept");
    response
}

fn summary(page: &Page) -> Value {
    let answer = page.answer();
    json!({
        "code": page.code,
        "status": answer.status.as_u16(),
        "error": answer.error,
        "detail": answer.detail,
        "when": page.when,
    })
}

fn page_json(page: &Page) -> Value {
    let mut shown = summary(page);
    let causes = page.causes.iter();
    shown["causes"] = causes
        .map(|cause| json!({"cause": cause.what, "fix": cause.fix}))
        .collect();
    shown
}

fn index_html() -> String {
    let mut body = "<h1>Errors</h1>\n<dl>\n".to_owned();
    for page in PAGES {
        let (code, when) = (page.code, marked(page.when));
        let _ = writeln!(
            body,
            "<dt><a href=\"/errors/{code}\"><code>{code}</code></a> {}</dt>\n<dd>{when}</dd>",
            page.answer().status.as_u16()
        );
    }
    document("Errors", &(body + "</dl>\n"))
}

fn page_html(page: &Page) -> String {
    let (answer, code) = (page.answer(), page.code);
    let mut body = format!(
        "<p><a href=\"/errors\">Errors</a></p>\n<h1><code>{code}</code></h1>\n<p>{}: {}</p>\n<p>Answered when: {}.</p>\n",
        answer.status,
        escaped(answer.detail),
        marked(page.when),
    );
    if let Some(error) = answer.error {
        let _ = writeln!(
            body,
            "<p>In the challenge: <code>error=\"{error}\"</code></p>"
        );
    }
    body += "<h2>Likely causes, and how to fix each</h2>\n<dl>\n";
    for cause in page.causes {
        let (what, fix) = (escaped(cause.what), escaped(cause.fix));
        let _ = writeln!(body, "<dt>{what}</dt>\n<dd>{fix}</dd>");
    }
    body += "</dl>\n";
    if answer.status.as_u16() == 401 {
        body += "<p>If you have the token, <code>warp-bearer explain</code> says which of these causes applies.</p>\n";
    }
    document(code, &body)
}

/// No scripts in it, and no resources to load
fn document(title: &str, body: &str) -> String {
    const STYLE: &str = ":root{color-scheme:light dark}body{max-width:44em;margin:2em auto;padding:0 1em;font:1rem/1.5 system-ui,sans-serif}dt{font-weight:bold;margin-top:1em}";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n{body}</html>\n"
    )
}

/// Formats text as HTML. Backticks become `<code>`.
fn marked(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in escaped(text).split('`').enumerate() {
        let tag = ["<code>", "</code>"];
        if at > 0 {
            html += tag[(at + 1) % 2];
        }
        html += part;
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn set(response: &mut Response, name: HeaderName, value: &'static str) {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

/// Whether the caller prefers HTML to JSON (RFC 9110 §12.5.1). A client without a preference, e.g.
/// curl, gets JSON.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let ranges: Vec<&str> = accepted
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .collect();
    weight_of(&ranges, "text/html", "text/*")
        > weight_of(&ranges, "application/json", "application/*")
}

/// The weight of the most specific media range that matches.
fn weight_of(ranges: &[&str], exact: &str, family: &str) -> f32 {
    let of = |wanted: &str| {
        ranges.iter().find_map(|range| {
            let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
            if !kind.trim().eq_ignore_ascii_case(wanted) {
                return None;
            }
            let weight = parameters
                .split(';')
                .find_map(|parameter| parameter.trim().strip_prefix("q="));
            weight.map_or(Some(1.0), |weight| weight.parse().ok())
        })
    };
    of(exact).or(of(family)).or(of("*/*")).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_preferred_only_with_a_higher_weight() {
        for (accept, expected) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("text/html", true),
            ("TEXT/HTML", true),
            ("text/*", true),
            ("application/json;q=0.5, text/html;q=0.6", true),
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("application/json, text/html", false),
            ("text/html;q=0", false),
            ("text/html;q=nonsense", false),
            ("application/*, text/html;q=0.9", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_html(&headers), expected, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn escapes_texts_in_html() {
        assert_eq!(
            marked("`a` < `b` & \"c\""),
            "<code>a</code> &lt; <code>b</code> &amp; &quot;c&quot;"
        );
    }
}
