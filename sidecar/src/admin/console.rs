//! The console: one page, its script and its style, in the binary.
//!
//! No build step, no framework, and nothing from elsewhere: it works in a cluster
//! without internet. It asks for `/stats.json` each second and draws what changed.

const PAGE: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = include_str!("console/console.js");
const CHART: &str = include_str!("console/chart.js");
const ICON: &str = include_str!("console/icon.svg");

/// A file by its path: its type and its text.
pub(super) fn file(path: &str) -> Option<(&'static str, &'static str)> {
    Some(match path {
        "/" => ("text/html; charset=utf-8", PAGE),
        "/style.css" => ("text/css; charset=utf-8", STYLE),
        "/console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/chart.js" => ("text/javascript; charset=utf-8", CHART),
        "/icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_small_and_names_no_other_host() {
        let files = [PAGE, STYLE, SCRIPT, CHART, ICON];
        let bytes: usize = files.iter().map(|file| file.len()).sum();
        assert!(bytes <= 60 << 10, "{bytes} bytes");
        for file in files {
            // The names of SVG's own elements are not fetched.
            let file = file.replace("http://www.w3.org/2000/svg", "");
            assert!(!file.contains("http:") && !file.contains("https:"));
            assert!(!file.contains("innerHTML") && !file.contains("eval("));
        }
    }

    #[test]
    fn the_page_has_nothing_inline_that_the_policy_would_refuse() {
        assert!(!PAGE.contains("<style") && !PAGE.contains("style=") && !PAGE.contains("onclick"));
        assert_eq!(
            PAGE.matches("<script").count(),
            PAGE.matches("<script src=\"/").count()
        );
    }
}
