//! OpenTelemetry's attributes by what they mean: each has had several names (semantic conventions before and after
//! their first stable version).

use super::super::{Destination, ServiceTarget, url};

/// Attributes of a span. Empty values count as absent.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub &'a [(String, String)]);

impl<'a> Attributes<'a> {
    /// The first of these names that has a value.
    pub fn get(self, names: &[&str]) -> Option<&'a str> {
        let value = |name: &&str| self.0.iter().rev().find(|(known, value)| known == name && !value.is_empty());
        names.iter().find_map(value).map(|(_, value)| value.as_str())
    }

    pub fn url(self) -> Option<&'a str> {
        self.get(&["url.full", "http.url"])
    }

    /// Not the new `url.scheme`, which spans of other kinds carry too.
    pub fn scheme(self) -> Option<&'a str> {
        self.get(&["http.scheme"])
    }

    pub fn http_host(self) -> Option<&'a str> {
        self.get(&["http.host"])
    }

    /// The method as sent, where the standard one is only a stand-in.
    pub fn method(self) -> Option<&'a str> {
        self.get(&["http.request.method_original", "http.request.method", "http.method"])
    }

    pub fn http_status(self) -> Option<u16> {
        self.get(&["http.response.status_code", "http.status_code"])?.parse().ok()
    }

    pub fn db_system(self) -> Option<&'a str> {
        self.get(&["db.system.name", "db.system"])
    }

    /// Database. The new name may hold more of the path to it: PostgreSQL's schema after it, SQL Server's instance
    /// before it; for a search engine it is the cluster.
    pub fn db_instance(self, subtype: &str) -> Option<&'a str> {
        let namespace = || self.get(&["db.namespace"]);
        self.get(&["db.name"]).or_else(|| match subtype {
            "postgresql" => namespace()?.split('|').next(),
            "mssql" => namespace()?.rsplit('|').next(),
            "mysql" | "mariadb" | "mongodb" | "cassandra" | "cosmosdb" | "sqlite" => namespace(),
            _ => None,
        })
    }

    pub fn statement(self) -> Option<&'a str> {
        self.get(&["db.query.text", "db.statement"])
    }

    pub fn operation(self) -> Option<&'a str> {
        self.get(&["db.operation.name", "db.operation"])
    }

    pub fn db_user(self) -> Option<&'a str> {
        self.get(&["db.user"])
    }

    pub fn messaging_system(self) -> Option<&'a str> {
        self.get(&["messaging.system"])
    }

    pub fn messaging_destination(self) -> Option<&'a str> {
        self.get(&["messaging.destination.name", "messaging.destination"])
    }

    pub fn rpc_system(self) -> Option<&'a str> {
        self.get(&["rpc.system.name", "rpc.system"])
    }

    pub fn rpc_service(self) -> Option<&'a str> {
        self.get(&["rpc.service"])
    }

    /// The peer: by name where there is one.
    pub fn destination(self) -> Destination {
        let address = ["server.address", "network.peer.address", "net.peer.name", "net.peer.ip"];
        let port = ["server.port", "network.peer.port", "net.peer.port"];
        Destination {
            address: self.get(&address).map(str::to_owned),
            port: self.get(&port).and_then(|port| port.parse().ok()),
            target: ServiceTarget::default(),
        }
    }

    /// `host:port` of the peer, or its host alone.
    pub fn peer(self) -> Option<String> {
        let Destination { address, port, .. } = self.destination();
        let address = address?;
        Some(port.map_or_else(|| address.clone(), |port| url::join_host_port(&address, port)))
    }
}

/// Subtype of Elastic's `db` spans for one of OpenTelemetry's names of a database.
pub(super) fn db_subtype(system: &str) -> String {
    let subtype = match system.to_ascii_lowercase().as_str() {
        "microsoft.sql_server" => "mssql",
        "azure.cosmosdb" => "cosmosdb",
        "oracle.db" => "oracle",
        "ibm.db2" => "db2",
        "aws.dynamodb" => "dynamodb",
        "actian.ingres" => "ingres",
        "h2database" => "h2",
        _ => return system.to_owned(),
    };
    subtype.to_owned()
}
