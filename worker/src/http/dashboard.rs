//! The dashboard: three files that are part of the Worker. It holds no data
//! and no secret; what it shows comes from the routes, by the visitor's token.

use worker::{Headers, Response};

/// What the page may do: nothing but load these files and ask these routes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The file at `path`, if it is one of the dashboard's.
pub(super) fn file(path: &str) -> Option<worker::Result<Response>> {
    let (content_type, content) = match path {
        "/" => (
            "text/html; charset=utf-8",
            include_str!("dashboard/index.html"),
        ),
        "/dashboard.css" => (
            "text/css; charset=utf-8",
            include_str!("dashboard/dashboard.css"),
        ),
        "/dashboard.js" => (
            "text/javascript; charset=utf-8",
            include_str!("dashboard/dashboard.js"),
        ),
        _ => return None,
    };
    let headers = Headers::from_iter([
        ("content-type", content_type),
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-cache"),
    ]);
    Some(Response::ok(content).map(|response| response.with_headers(headers)))
}
