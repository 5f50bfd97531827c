//! Which versions really ran: read from the lock file of the build, so that a
//! table cannot name a version that was not linked.

/// The version of `package` in the text of a `Cargo.lock`; `None` when it is not
/// there. With several versions of one package the first, which Cargo sorts lowest.
#[must_use]
pub fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        if quoted(line, "name") == Some(package) {
            return quoted(lines.next()?, "version");
        }
    }
    None
}

fn quoted<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    line.strip_prefix(field)?
        .strip_prefix(" = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"moka-extra\"\nversion = \"9.9.9\"\n\n\
        [[package]]\nname = \"moka\"\nversion = \"0.12.16\"\nsource = \"x\"\n";

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        assert_eq!(locked_version(LOCK, "moka"), Some("0.12.16"));
    }

    #[test]
    fn an_unknown_package_has_no_version() {
        assert_eq!(locked_version(LOCK, "mok"), None);
    }
}
