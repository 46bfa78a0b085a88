-- When a labeler let a question run out of time for the last time.

CREATE INDEX leases_expired ON leases (caller_id, expires_at) WHERE state = 'EXPIRED';
