module margay.test/sctp

go 1.24.0
