//! Measures and their units. [`crate::trial`] takes them.

use clap::ValueEnum;
use serde::Serialize;

/// A measure; some yield several figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Measure {
    /// Connections with a full handshake.
    Full,
    /// Connections with a resumed session.
    Resumed,
    /// Messages from a client to the backend, and their acknowledgements.
    Trip,
    /// Bytes from a client to the backend.
    Up,
    /// Bytes from the backend to a client.
    Down,
    /// Idle connections.
    Idle,
    /// Clients that connect all at once.
    Storm,
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

impl Measure {
    /// Returns its figures, in the order in which a trial yields them.
    pub(crate) fn figures(self) -> &'static [Figure] {
        const fn figure(name: &'static str, unit: &'static str) -> Figure {
            Figure { name, unit }
        }
        match self {
            Self::Full => const { &[figure("full handshake", "µs CPU")] },
            Self::Resumed => const { &[figure("resumed handshake", "µs CPU")] },
            Self::Trip => {
                const {
                    &[
                        figure("round trip", "µs CPU"),
                        figure("round trip p50", "µs"),
                    ]
                }
            }
            Self::Up => const { &[figure("to the backend", "ms CPU per GiB")] },
            Self::Down => const { &[figure("to the client", "ms CPU per GiB")] },
            Self::Idle => const { &[figure("idle connection", "bytes")] },
            Self::Storm => {
                const {
                    &[
                        figure("storm p50", "ms"),
                        figure("storm p99", "ms"),
                        figure("storm", "ms CPU"),
                        figure("storm", "turned away"),
                    ]
                }
            }
        }
    }
}
