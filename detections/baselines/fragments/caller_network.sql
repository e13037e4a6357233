-- The network that a call came from; NULL where an AWS service called.
CASE
    WHEN source_ip_address LIKE '%:%' THEN regexp_replace(source_ip_address, '^(([0-9a-fA-F]*:){3}).*$', '\1:/48')
    WHEN regexp_like(source_ip_address, '^[0-9.]+$') THEN regexp_replace(source_ip_address, '[.][0-9]+$', '.0/24')
END
