//! Code in each language that sets and removes variables.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::language::Changes;

/// Names and values as an object of JSON, which is an expression of JavaScript too.
pub(crate) fn javascript_env(changes: &Changes) -> String {
    format!(
        "for (const [name, value] of Object.entries({})) {{ \
         value === null ? Deno.env.delete(name) : Deno.env.set(name, value); }}",
        json!(changes)
    )
}

pub(crate) fn bash_env(changes: &Changes) -> String {
    let mut code = String::new();
    for (name, value) in changes.iter().filter(|(name, _)| is_identifier(name)) {
        let _ = match value {
            Some(value) => write!(code, "export {name}={};", bash_quote(value)),
            None => write!(code, "unset {name};"),
        };
    }
    code
}

/// Quotes in one line, because the kernel reads line by line.
fn bash_quote(text: &str) -> String {
    let mut quoted = String::from("$'");
    for character in text.chars() {
        match character {
            '\'' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '!' => quoted.push_str("\\x21"),
            control if u32::from(control) < 0x20 => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

pub(crate) fn r_env(changes: &Changes) -> String {
    let mut code = String::new();
    for (name, value) in changes {
        let _ = match value {
            Some(value) => write!(
                code,
                "do.call(Sys.setenv, setNames(list({}), {}));",
                quote(value),
                quote(name)
            ),
            None => write!(code, "Sys.unsetenv({});", quote(name)),
        };
    }
    format!("invisible({{{code}}})")
}

pub(crate) fn java_env(changes: &Changes) -> String {
    // A block, because expressions would leave variables: `$1`, `$2`, ...
    let mut code = String::from("{");
    for (name, value) in changes {
        let _ = match value {
            Some(value) => {
                write!(code, "System.setProperty({}, {});", quote(name), quote(value))
            }
            None => write!(code, "System.clearProperty({});", quote(name)),
        };
    }
    code.push('}');
    code
}

/// A literal of JSON, whose escapes R and Java share.
fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(name: &str, value: Option<&str>) -> Changes {
        [(name.to_owned(), value.map(String::from))].into()
    }

    #[test]
    fn bash_gets_any_value_in_one_line() {
        let code = bash_env(&changes("A", Some("it's\na \\ $B `c` !d")));
        assert_eq!(code, r"export A=$'it\'s\na \\ $B `c` \x21d';");
        let out = std::process::Command::new("bash")
            .arg("-c")
            .arg(format!("{code} printf %s \"$A\""))
            .output()
            .unwrap();
        assert_eq!(out.stdout, b"it's\na \\ $B `c` !d");
    }

    #[test]
    fn bash_is_not_given_names_that_are_code() {
        assert_eq!(bash_env(&changes("A;rm -rf /", Some("x"))), "");
        assert_eq!(bash_env(&changes("1A", None)), "");
    }

    #[test]
    fn values_cannot_leave_their_quotes() {
        let value = "\"); System.exit(1); (\"";
        let code = java_env(&changes("A", Some(value)));
        assert_eq!(code, r#"{System.setProperty("A", "\"); System.exit(1); (\"");}"#);
    }

    #[test]
    fn what_has_no_value_is_removed() {
        assert_eq!(bash_env(&changes("A", None)), "unset A;");
        assert_eq!(java_env(&changes("A", None)), "{System.clearProperty(\"A\");}");
        assert!(r_env(&changes("A", None)).contains("Sys.unsetenv(\"A\")"));
        assert!(javascript_env(&changes("A", None)).contains(r#"{"A":null}"#));
    }
}
