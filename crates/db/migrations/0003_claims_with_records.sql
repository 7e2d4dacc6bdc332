-- A request that named itself and the sandbox that answers it are written together, so a claim always
-- names its sandbox. Claims that name none are of a version before, and of requests that were never
-- answered.
DELETE FROM claims WHERE sandbox IS NULL;

CREATE INDEX claims_by_sandbox ON claims (sandbox);
