//! Prepares the URLs from which revocation lists are fetched. Pure.
//!
//! It must not judge addresses: those that a name has are known only when it is asked.

use mqtt_tls_config::Config;
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::pem::Part;

use super::{Cause, Problem};
use crate::crls::urls::Url;
use crate::fetch::place::Place;
use crate::tls::client::Client;

/// Returns the URLs, ready to be asked, and adds a problem for each that cannot be asked.
pub(super) fn urls(config: &Config, problems: &mut Vec<Problem>) -> Vec<Url> {
    let mut urls = Vec::new();
    for (index, written) in config.crls.iter().enumerate() {
        let client = written.ca.as_ref().map(|ca| {
            let authorities = authorities::judge(Part::file(ca.expose()));
            let authorities = authorities.and_then(Authorities::strictly);
            let authorities = authorities.map_err(Cause::Authorities)?;
            Client::new(&authorities).map_err(Cause::Tls)
        });
        match (client.transpose(), Place::of(&written.url)) {
            (Ok(client), Some(place)) => urls.push(Url {
                written: written.clone(),
                place,
                client,
            }),
            (Err(cause), _) => problems.push(Problem {
                key: format!("crls[{index}].ca"),
                cause,
            }),
            // The file's reader has refused it.
            (Ok(_), None) => {}
        }
    }
    urls
}
