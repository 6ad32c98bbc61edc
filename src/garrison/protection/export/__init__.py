"""The ledger's entries as others read them: CEF, OCSF and syslog, in files and over the wire."""
