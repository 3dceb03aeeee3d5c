//! Everything that the judge reports of a certificate or a bundle, as text. It must leave nothing out: the code that
//! writes a report is tested, too.

use std::error::Error;

use jiff::Timestamp;
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::certificate::{self, Certificate};

/// Reports on a chain with its key.
pub fn certificate(judged: Result<Certificate, certificate::Error>) -> String {
    let certificate = match judged {
        Ok(certificate) => certificate,
        Err(error) => return chain(&error),
    };
    let mut said = format!("{certificate:?} {:?}", certificate.never_chosen());
    for now in certificate
        .dates()
        .map(|date| date.timestamp())
        .chain([Timestamp::MIN, Timestamp::MAX])
    {
        said += &format!("{:?}", certificate.findings_at(now));
    }
    match certificate.strictly() {
        Ok(_) => said,
        Err(error) => said + &chain(&error),
    }
}

/// Reports on authorities.
pub fn authorities(judged: Result<Authorities, authorities::Error>) -> String {
    let authorities = match judged {
        Ok(authorities) => authorities,
        Err(error) => return chain(&error),
    };
    let said = format!("{:?}", authorities.findings());
    match authorities.strictly() {
        Ok(_) => said,
        Err(error) => said + &chain(&error),
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut said = format!("{error}, {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        said += &format!("; {error}, {error:?}");
        cause = error.source();
    }
    said
}
