//! Java's kernel, jjava: how it is started, and what its errors mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The packages whose insides jjava needs, and those whose generators `startup/java_reseed.jsh`
/// renews. One of the last two is missing in each JDK, which is no more than a warning.
const OPENED: [&str; 6] = [
    "jdk.jshell/jdk.jshell",
    "java.base/java.lang",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/jdk.internal.random",
    "jdk.random/jdk.random",
];

/// Where the `jjava` package of `PyPI` puts its kernel.
pub(crate) fn kernel(venv: &Path) -> PathBuf {
    venv.join("share/jupyter/kernels/java/jjava.jar")
}

/// What jjava's own launcher would start, without the second virtual machine that the launcher is.
pub(crate) fn arguments(
    venv: &Path,
    envs: &BTreeMap<String, String>,
    connection: String,
) -> Vec<String> {
    let options = envs.get("JJAVA_JVM_OPTS").map(String::as_str).unwrap_or_default();
    let mut arguments: Vec<String> = options.split_whitespace().map(String::from).collect();
    arguments.extend(OPENED.iter().map(|package| format!("--add-opens={package}=ALL-UNNAMED")));
    arguments.extend(["-jar".into(), kernel(venv).display().to_string(), connection]);
    arguments
}

/// The name and the value of an error, out of what jjava calls them.
///
/// It calls every exception of a program `RuntimeException`, with its class and its message as the
/// value; and it says what the compiler found only in the traceback.
pub(crate) fn error(name: &str, value: &str, traceback: &str) -> (String, String) {
    if name == "RuntimeException"
        && let Some((class, message)) = value.split_once(", ")
        && is_class(class)
    {
        let simple = class.rsplit(['.', '$']).next().unwrap_or(class);
        return (simple.to_owned(), message.to_owned());
    }
    if name == "CompilationException" {
        let plain = without_colours(traceback);
        let found: Vec<_> = plain
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('|'))
            .collect();
        if !found.is_empty() {
            return (name.to_owned(), found.join("\n"));
        }
    }
    (name.to_owned(), value.to_owned())
}

fn is_class(text: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || "._$".contains(character);
    !text.is_empty() && text.chars().all(is_part)
}

/// Text without the sequences that colour it on a terminal.
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or(piece, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_name_and_the_message_of_the_exception() {
        for (value, wanted) in [
            ("java.lang.ArithmeticException, / by zero", ("ArithmeticException", "/ by zero")),
            ("REPL.$JShell$28$MyError, mine, yes", ("MyError", "mine, yes")),
            ("jdk.x.Y: no, not this", ("RuntimeException", "jdk.x.Y: no, not this")),
        ] {
            let (name, value) = error("RuntimeException", value, "");
            assert_eq!((name.as_str(), value.as_str()), wanted);
        }
    }

    #[test]
    fn what_the_compiler_found_is_the_value() {
        let traceback = "\u{1b}[39m\u{1b}[1m|   \u{1b}[0mint y = \u{1b}[41m\"a\"\u{1b}[0m;\n\
                         \u{1b}[1m\u{1b}[31mincompatible types\u{1b}[0m\n";
        let (_, value) = error("CompilationException", "[snippet: …]", traceback);
        assert_eq!(value, "incompatible types");
        assert_eq!(error("CompilationException", "all", "").1, "all");
    }

    #[test]
    fn options_of_the_virtual_machine_come_before_the_program() {
        let envs = [("JJAVA_JVM_OPTS".to_owned(), "-Xmx1g  -Da=b".to_owned())].into();
        let arguments = arguments(Path::new("/venv"), &envs, "connection".into());
        assert_eq!(arguments[..2], ["-Xmx1g", "-Da=b"]);
        let last = ["-jar", "/venv/share/jupyter/kernels/java/jjava.jar", "connection"];
        assert_eq!(arguments[arguments.len() - 3..], last);
    }
}
