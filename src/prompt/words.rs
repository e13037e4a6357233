//! Words that the prompt knows: keywords, values of short lists, names to quote.

/// Keywords, those that people begin with first.
pub const KEYWORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "HAVING",
    "WITH",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS NULL",
    "IS NOT NULL",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "DISTINCT",
    "UNION ALL",
    "EXCEPT",
    "INTERSECT",
    "EXISTS",
    "INTERVAL",
    "DESC",
    "ASC",
    "NULLS LAST",
    "OVER",
    "PARTITION BY",
    "FILTER",
    "OFFSET",
    "CAST",
    "TRUE",
    "FALSE",
    "NULL",
    "EXPLAIN",
    "SUMMARIZE",
];

/// Values of columns whose formats do not name them, those that people ask for
/// first.
pub const VALUES: &[(&str, &[&str])] = &[
    (
        "principal_type",
        &[
            "AssumedRole",
            "IAMUser",
            "Root",
            "AWSService",
            "AWSAccount",
            "FederatedUser",
            "IdentityCenterUser",
            "Role",
            "SAMLUser",
            "WebIdentityUser",
            "Directory",
            "Unknown",
        ],
    ),
    (
        "event_category",
        &["Management", "Data", "NetworkActivity", "Insight", "Aggregated"],
    ),
    (
        "event_type",
        &[
            "AwsApiCall",
            "AwsConsoleSignIn",
            "AwsServiceEvent",
            "AwsConsoleAction",
            "AwsVpceEvent",
            "AwsCloudTrailInsight",
        ],
    ),
];

/// Words that name columns of our tables and mean something else in SQL when
/// they stand bare.
pub const RESERVED: &[&str] = &[
    "end", "start", "order", "group", "table", "user", "type", "case", "select", "from",
];
