//! The reference of this program, made of what it knows: `terminator/reference.md` is this text.
//!
//! It must not repeat what is said elsewhere in the code.

use std::fmt::Write as _;

use crate::record::{End, Limit};
use crate::tls::failure::Failure;

/// The text, in Markdown.
pub fn text() -> String {
    let mut page = String::from(
        "# mqtt-tls-terminator\n\n\
         Generated; `UPDATE=1 cargo test --workspace --all-features --test reference` writes it.\n\n\
         ## Configuration file\n\n\
         The keys `host`, `port` and `pem` mean what they mean to smart-mqtt's TLS plugin. All problems of a file \
         are reported at once, each with its line and key.\n\n\
         | key | values | default | meaning |\n|---|---|---|---|\n",
    );
    for row in mqtt_tls_config::reference::rows() {
        let default = match (&row.default, row.values.is_empty()) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => String::new(),
            (None, false) => "required".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {} |",
            row.key, row.values, row.meaning
        );
    }
    page.push_str(
        "\n## Metrics\n\n\
         ### `mqtt_tls_connections_ended_total`, by `end`\n\n",
    );
    table(&mut page, End::ALL.map(|end| (end.name(), end.meaning())));
    page.push_str("\n### `mqtt_tls_connections_refused_total`, by `limit`\n\n");
    table(
        &mut page,
        Limit::ALL.map(|limit| (limit.name(), limit.meaning())),
    );
    page.push_str(
        "\n### `mqtt_tls_handshakes_total`, by `outcome`\n\n\
         `ok` by `version` and `kind` (`full` or `resumed`); of the others `kind` is `none`, and `version` is `none` \
         where it was not settled yet.\n\n",
    );
    table(
        &mut page,
        Failure::ALL.map(|failure| (failure.name(), failure.meaning())),
    );
    page
}

fn table<const N: usize>(page: &mut String, rows: [(&str, &str); N]) {
    page.push_str("| value | meaning |\n|---|---|\n");
    for (value, meaning) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{value}` | {meaning} |");
    }
}
