//! Which method of a sandbox a request over HTTP is for: the routes of
//! [`methods`].

use std::collections::BTreeMap;

use matchit::Router;
use sandbox_shared::methods::{self, HttpMethod, Part, Row};

/// What a request is for.
pub(super) enum Matched {
    /// A method, and the parameter in its path.
    Method(&'static Row, Option<String>),
    /// A route that takes other HTTP methods: these.
    Only(Vec<HttpMethod>),
    /// Nothing.
    Nothing,
}

type Rows = BTreeMap<HttpMethod, &'static Row>;

thread_local! {
    static ROUTER: Router<Rows> = router();
}

fn router() -> Router<Rows> {
    let mut rows: BTreeMap<&str, Rows> = BTreeMap::new();
    for row in methods::of_a_sandbox() {
        if let Some(route) = row.route {
            rows.entry(route.path)
                .or_default()
                .insert(route.method, row);
        }
    }
    let mut router = Router::new();
    for (path, rows) in rows {
        // The table has no two routes that are alike: a test builds it.
        let _ = router.insert(path, rows);
    }
    router
}

/// The method that `path`, below a sandbox, and `method` stand for. A method that no
/// route has is none.
pub(super) fn find(method: Option<HttpMethod>, path: &str) -> Matched {
    ROUTER.with(|router| {
        let Ok(matched) = router.at(path) else {
            return Matched::Nothing;
        };
        let Some(row) = method.and_then(|method| matched.value.get(&method)) else {
            return Matched::Only(matched.value.keys().copied().collect());
        };
        let parameter = match row.route.map(|route| route.takes) {
            Some(Part::Path(name)) => matched.params.get(name).map(str::to_owned),
            _ => None,
        };
        Matched::Method(row, parameter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_route() {
        for row in methods::of_a_sandbox() {
            let Some(route) = row.route else { continue };
            let path = route
                .path
                .replace("{id}", "x")
                .replace("{operationId}", "x");
            let Matched::Method(found, parameter) = find(Some(route.method), &path) else {
                panic!("{} is not found", row.name);
            };
            assert!(std::ptr::eq(found, row), "{} and {}", row.name, found.name);
            assert_eq!(parameter.is_some(), matches!(route.takes, Part::Path(_)));
        }
    }

    #[test]
    fn a_route_says_what_else_it_takes() {
        let only = |method, path| match find(method, path) {
            Matched::Only(others) => others.iter().map(|method| method.as_str()).collect(),
            _ => Vec::new(),
        };
        assert_eq!(only(Some(HttpMethod::Put), "backups"), ["GET", "POST"]);
        assert_eq!(only(None, "files"), ["DELETE", "GET", "PUT"]);
        assert_eq!(only(Some(HttpMethod::Post), "backups/x"), ["DELETE", "GET"]);
        for nothing in [
            "",
            "backups/",
            "backups/x/y",
            "backups/x/verify/",
            "nothing",
        ] {
            assert!(
                matches!(find(Some(HttpMethod::Get), nothing), Matched::Nothing),
                "{nothing}"
            );
        }
    }
}
