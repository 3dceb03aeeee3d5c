//! Filters the log: a level applies to this project's code; libraries are included from `debug` on, or by name.
//!
//! Libraries log single connections (rustls: a WARN for each invalid SNI, an ERROR for each alert), and clients
//! could fill a disk with such lines.

use tracing::metadata::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::Options;

/// Parses a filter.
pub(super) fn parse(options: &Options<'_>) -> Result<EnvFilter, ParseError> {
    // Parse the original first, so that an error quotes what the user wrote.
    EnvFilter::try_new(options.filter)?;
    EnvFilter::try_new(directives(options).join(","))
}

/// Returns the directives in order of precedence: for each target the last one applies.
fn directives(options: &Options<'_>) -> Vec<String> {
    let (mut levels, mut others) = (Vec::new(), Vec::new());
    let written = options.filter.split(',').map(str::trim);
    let written = written.filter(|directive| !directive.is_empty());
    // tracing-subscriber takes an empty filter as the level `error`.
    let nothing = options.filter.trim().is_empty().then_some("error");
    for directive in written.chain(nothing) {
        match directive.parse::<LevelFilter>() {
            Ok(level) if level <= LevelFilter::INFO => {
                levels.push("off".to_owned());
                levels.extend(options.own.iter().map(|own| format!("{own}={level}")));
            }
            Ok(_) => levels.push(directive.to_owned()),
            // Directives that name a target apply as written.
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
    fn a_level_applies_to_our_own_code() {
        for (filter, expected) in [
            ("info", "off,ours=info,ours_too=info,secret=off"),
            (" WARN ", "off,ours=warn,ours_too=warn,secret=off"),
            ("3", "off,ours=info,ours_too=info,secret=off"),
            ("", "off,ours=error,ours_too=error,secret=off"),
            ("info,", "off,ours=info,ours_too=info,secret=off"),
            ("off", "off,ours=off,ours_too=off,secret=off"),
            // These include libraries.
            ("debug", "debug,secret=off"),
            ("trace", "trace,secret=off"),
            // A directive that names a target takes precedence in any position.
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
    fn an_invalid_filter_is_rejected() {
        let error = parse(&options("info,ours=loud")).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}
