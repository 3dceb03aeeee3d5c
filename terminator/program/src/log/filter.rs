//! What is logged: a level holds for our own code, and lines of libraries come from `debug` on or by name.
//!
//! Libraries log single connections as they please (rustls: a WARN for each SNI that is no name, an ERROR for
//! each alert), and whoever connects could fill a disk with that.

use tracing::metadata::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::Options;

/// The filter that an option's words stand for.
pub(super) fn parse(options: &Options<'_>) -> Result<EnvFilter, ParseError> {
    // As the user wrote it, so that a message quotes nothing else.
    EnvFilter::try_new(options.filter)?;
    EnvFilter::try_new(directives(options).join(","))
}

/// In the order in which they hold: of two for one target the last.
fn directives(options: &Options<'_>) -> Vec<String> {
    let (mut levels, mut others) = (Vec::new(), Vec::new());
    let written = options.filter.split(',').map(str::trim);
    let written = written.filter(|directive| !directive.is_empty());
    // Nothing is the level `error` to tracing-subscriber.
    let nothing = options.filter.trim().is_empty().then_some("error");
    for directive in written.chain(nothing) {
        match directive.parse::<LevelFilter>() {
            Ok(level) if level <= LevelFilter::INFO => {
                levels.push("off".to_owned());
                levels.extend(options.own.iter().map(|own| format!("{own}={level}")));
            }
            Ok(_) => levels.push(directive.to_owned()),
            // What names a target means what it says.
            Err(_) => others.push(directive.to_owned()),
        }
    }
    let never = options.never.iter().map(|never| format!("{never}=off"));
    levels.into_iter().chain(others).chain(never).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::{Options, directives, parse};

    fn options(filter: &str) -> Options<'_> {
        Options {
            filter,
            format: Format::Text,
            own: &["ours", "ours_too"],
            never: &["secret"],
        }
    }

    #[test]
    fn a_level_is_about_our_own_code() {
        for (filter, expected) in [
            ("info", "off,ours=info,ours_too=info,secret=off"),
            (" WARN ", "off,ours=warn,ours_too=warn,secret=off"),
            ("3", "off,ours=info,ours_too=info,secret=off"),
            ("", "off,ours=error,ours_too=error,secret=off"),
            ("info,", "off,ours=info,ours_too=info,secret=off"),
            ("off", "off,ours=off,ours_too=off,secret=off"),
            // Who asks for everything gets it.
            ("debug", "debug,secret=off"),
            ("trace", "trace,secret=off"),
            // What is named is what was meant, wherever it stands.
            (
                "ours=debug,info,rustls=warn",
                "off,ours=info,ours_too=info,ours=debug,rustls=warn,secret=off",
            ),
            ("rustls=warn", "rustls=warn,secret=off"),
            ("secret=trace", "secret=trace,secret=off"),
        ] {
            assert_eq!(directives(&options(filter)).join(","), expected, "{filter}");
            parse(&options(filter)).unwrap();
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let error = parse(&options("info,ours=loud")).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}
