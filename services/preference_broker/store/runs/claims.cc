#include "services/preference_broker/store/runs/claims.h"

#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {
namespace {

// Batches that a learner may collect ahead of the last one that it has reported complete.
constexpr int64_t kAhead = 4;
// How long an assignment counts: workers do not sign off, and ask again every ten seconds.
#define ASSIGNED "30 seconds"
// Whether a claim can be taken over, of a length in milliseconds. One that reaches further ahead
// than any is granted for was granted before the database's clock was set back.
#define IS_OVER(length)                                     \
  "(c.released_at IS NOT NULL OR c.expires_at <= now() OR " \
  "c.expires_at > now() + 2 * " length " * interval '1 ms')"

absl::Status Lost(int64_t run_id, int64_t epoch) {
  return absl::AbortedError(
      absl::StrCat("the claim on run ", run_id, " under epoch ", epoch,
                   " was lost or released: let go of the run and claim again"));
}

void FailRun(Transaction& t, int64_t run_id, absl::string_view message) {
  if (t.Exec("UPDATE runs SET state = 'FAILED', message = $2, finished_at = now() "
             "WHERE id = $1 AND state IN ('QUEUED', 'RUNNING') RETURNING id",
             run_id, message)
          .empty()) {
    return;
  }
  TouchRun(t, run_id);
  t.Signal(kQuestionsTopic);
}

// The oldest run that wants the role, locked; nullopt: none. Its last claim may have run out,
// which counts. After each that came to nothing it rests longer: 0, 5, 10, 20 seconds.
std::optional<int64_t> RunToClaim(Transaction& t, absl::string_view role, int32_t lease_ms) {
  while (true) {
    const pqxx::result runs = t.Exec(R"sql(
        SELECT r.id, c.attempts + 1, c.run_id IS NOT NULL AND c.released_at IS NULL
        FROM runs r LEFT JOIN claims c ON c.run_id = r.id AND c.role = $1
        WHERE r.state IN ('QUEUED', 'RUNNING') AND ($1 = 'learner' OR r.reward = 'PREFERENCES')
          AND (c.run_id IS NULL OR ()sql" IS_OVER("$2") R"sql(
            AND (c.attempts = 0 OR coalesce(c.released_at, c.expires_at) > now()
              OR coalesce(c.released_at, c.expires_at)
                + 2.5 * 2 ^ c.attempts * interval '1 second' <= now())))
        ORDER BY coalesce(c.attempts + (c.released_at IS NULL)::integer, 0), r.id
        FOR NO KEY UPDATE OF r SKIP LOCKED LIMIT 1)sql",
                                     role, lease_ms);
    if (runs.empty()) return std::nullopt;
    const int64_t run_id = Int(runs[0][0]);
    const bool ran_out = Bool(runs[0][2]);
    if (!ran_out || Int(runs[0][1]) < kMostAttempts) return run_id;
    FailRun(t, run_id,
            absl::StrCat("the ", role, " of this run ended or was lost ", kMostAttempts,
                         " times in a row and got no further; its log says why (too little "
                         "memory?). Continue the run to try again"));
  }
}

}  // namespace

void NoteProgress(Transaction& t, int64_t run_id, Role role) {
  t.Exec("UPDATE claims SET attempts = 0 WHERE run_id = $1 AND role = $2 AND attempts > 0", run_id,
         RoleName(role));
}

absl::Status CheckEpoch(Transaction& t, int64_t run_id, Role role, int64_t epoch) {
  RETURN_IF_ERROR(CheckRunExists(t, run_id));
  const pqxx::result rows = t.Exec(
      "SELECT FROM claims WHERE run_id = $1 AND role = $2 AND epoch = $3 AND released_at IS NULL "
      "FOR SHARE",
      run_id, RoleName(role), epoch);
  if (rows.empty()) return Lost(run_id, epoch);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<v1::ClaimResponse>> Claim(Connection& connection, const Caller& caller,
                                                       const v1::ClaimRequest& request,
                                                       int32_t lease_ms) {
  using Result = absl::StatusOr<std::optional<v1::ClaimResponse>>;
  return connection.Transact([&](Transaction& t) -> Result {
    pqxx::result claim = t.Exec(
        "UPDATE claims c SET expires_at = now() + $3 * interval '1 ms' FROM runs r "
        "WHERE c.claimant = $1 AND c.role = $2 AND c.released_at IS NULL AND c.expires_at > now() "
        "  AND r.id = c.run_id AND r.state = 'RUNNING' "
        "RETURNING c.run_id, c.epoch, c.collect_token",
        request.claimant(), RoleName(caller.role), lease_ms);
    if (claim.empty()) {
      // the run's row lock makes sure that a role is claimed once
      const std::optional<int64_t> wanting = RunToClaim(t, RoleName(caller.role), lease_ms);
      if (!wanting.has_value()) return std::nullopt;
      const int64_t run_id = *wanting;
      const bool learner = caller.role == Role::kLearner;
      // the last WHERE: somebody may have claimed between our look and our lock
      claim = t.Exec(R"sql(
          INSERT INTO claims AS c (run_id, role, epoch, claimant, advertise, collect_token,
            expires_at)
          VALUES ($1, $2, 1, $3, $4, $5, now() + $6 * interval '1 ms')
          ON CONFLICT (run_id, role) DO UPDATE SET epoch = c.epoch + 1,
            claimant = excluded.claimant, advertise = excluded.advertise,
            collect_token = excluded.collect_token, wanted_steps = 0, claimed_at = now(),
            attempts = c.attempts + (c.released_at IS NULL)::integer,
            expires_at = excluded.expires_at, released_at = NULL
            WHERE )sql" IS_OVER("$6") R"sql(
          RETURNING c.run_id, c.epoch, c.collect_token)sql",
                     run_id, RoleName(caller.role), request.claimant(), request.advertise(),
                     learner ? base::RandomHex128() : "", lease_ms);
      if (claim.empty()) return std::nullopt;
      t.Exec(
          "UPDATE runs SET state = 'RUNNING', started_at = coalesce(started_at, now()) WHERE id = "
          "$1",
          run_id);
      Audit(t, caller.id, run_id, absl::StrCat("claim as ", std::string(RoleName(caller.role))),
            absl::StrCat("epoch ", Int(claim[0][1])));
      TouchRun(t, run_id);
    }
    v1::ClaimResponse response;
    ASSIGN_OR_RETURN(*response.mutable_run(), GetRun(t, Int(claim[0][0]), /*with_metrics=*/false));
    response.set_epoch(Int(claim[0][1]));
    response.set_collect_token(Text(claim[0][2]));
    response.set_lease_ms(lease_ms);
    return response;
  });
}

absl::StatusOr<v1::RunState> RenewClaim(Connection& connection, const Caller& caller,
                                        const v1::RenewClaimRequest& request, int32_t lease_ms) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::RunState> {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    const pqxx::result before = t.Exec(
        "SELECT c.wanted_steps, r.state FROM claims c JOIN runs r ON r.id = c.run_id "
        "WHERE c.run_id = $1 AND c.role = $2 AND c.epoch = $3 AND c.released_at IS NULL "
        "FOR NO KEY UPDATE OF c",
        request.run_id(), RoleName(caller.role), request.epoch());
    if (before.empty()) return Lost(request.run_id(), request.epoch());
    t.Exec(
        "UPDATE claims SET expires_at = now() + $3 * interval '1 ms', wanted_steps = $4 "
        "WHERE run_id = $1 AND role = $2",
        request.run_id(), RoleName(caller.role), lease_ms, request.wanted_steps());
    if (Int(before[0][0]) == 0 && request.wanted_steps() > 0) t.Signal(kWorkTopic);
    return Enum<v1::RunState>(before[0][1]);
  });
}

absl::Status ReleaseClaim(Connection& connection, const Caller& caller,
                          const v1::ReleaseClaimRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    RETURN_IF_ERROR(CheckRunExists(t, request.run_id()));
    // claim before run, as every fenced write
    const pqxx::result claims = t.Exec(
        "SELECT epoch, released_at IS NOT NULL, attempts FROM claims WHERE run_id = $1 "
        "AND role = $2 FOR NO KEY UPDATE",
        request.run_id(), RoleName(caller.role));
    if (claims.empty() || Int(claims[0][0]) != request.epoch()) {
      // a lost claim need not be given back, but only its holder may end the run
      const bool gives_back = !request.finished() && request.failure().empty();
      return gives_back ? absl::OkStatus() : Lost(request.run_id(), request.epoch());
    }
    if (Bool(claims[0][1])) return absl::OkStatus();
    const int64_t attempts = Int(claims[0][2]);
    const pqxx::result runs =
        t.Exec("SELECT state FROM runs WHERE id = $1 FOR NO KEY UPDATE", request.run_id());
    t.Exec(
        "UPDATE claims SET released_at = now(), wanted_steps = 0, "
        "  attempts = attempts + ($3 <> '')::integer WHERE run_id = $1 AND role = $2",
        request.run_id(), RoleName(caller.role), request.trouble());
    std::string failure = request.failure();
    if (!request.trouble().empty() && attempts + 1 >= kMostAttempts) {
      failure = absl::StrCat("given back ", kMostAttempts, " times in a row: ", request.trouble());
    }
    if (Text(runs[0][0]) == "RUNNING") {
      std::string state = "RUNNING";
      if (!failure.empty()) {
        state = "FAILED";
      } else if (request.finished() && caller.role == Role::kLearner) {
        state = "FINISHED";
      } else if (t.Exec("SELECT FROM claims WHERE run_id = $1 AND released_at IS NULL AND "
                        "expires_at > now()",
                        request.run_id())
                     .empty()) {
        // nobody serves it any more
        state = "QUEUED";
      }
      t.Exec(
          "UPDATE runs SET state = $2, message = $3, "
          "  finished_at = CASE WHEN $2 IN ('FINISHED', 'FAILED') THEN now() END WHERE id = $1",
          request.run_id(), state, failure);
    }
    Audit(t, caller.id, request.run_id(),
          absl::StrCat("release as ", std::string(RoleName(caller.role))),
          failure.empty() ? request.trouble() : failure);
    TouchRun(t, request.run_id());
    t.Signal(kClaimsTopic);
    t.Signal(kQuestionsTopic);
    return absl::OkStatus();
  });
}

absl::Status CompleteBatch(Connection& connection, const Caller& caller,
                           const v1::CompleteBatchRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    RETURN_IF_ERROR(CheckEpoch(t, request.run_id(), caller.role, request.epoch()));
    const pqxx::result rows = t.Exec(
        "UPDATE runs SET iterations = $2, steps = greatest(steps, $3), progress_at = now(), "
        "  revision = revision + 1 WHERE id = $1 AND iterations < $2 RETURNING id",
        request.run_id(), request.iteration() + 1, request.steps());
    if (rows.empty()) return absl::OkStatus();
    t.Signal(RunTopic(request.run_id()));
    NoteProgress(t, request.run_id(), caller.role);
    t.Exec("DELETE FROM worker_failures WHERE run_id = $1", request.run_id());
    return absl::OkStatus();
  });
}

absl::Status ReportWorkerFailure(Connection& connection, const Caller& caller,
                                 const v1::AssignWorkRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    // (one that was deleted meanwhile is nobody's)
    if (t.Exec("SELECT FROM served_runs WHERE caller_id = $1 AND run_id = $2 "
               "AND assigned_at > now() - interval '1 hour'",
               caller.id, request.failed_run_id())
            .empty())
      return absl::OkStatus();
    t.Exec(
        "INSERT INTO worker_failures AS f (run_id, worker) VALUES ($1, $2) "
        "ON CONFLICT (run_id, worker) DO UPDATE SET times = f.times + 1, at = now()",
        request.failed_run_id(), request.worker());
    const pqxx::row row = t.Exec(
        "SELECT (SELECT sum(times) FROM worker_failures WHERE run_id = $1), "
        "EXISTS (SELECT FROM assignments a JOIN claims c ON c.run_id = a.run_id "
        "  AND c.role = 'learner' AND c.epoch = a.epoch "
        "  WHERE a.run_id = $1 AND a.assigned_at > now() - interval '" ASSIGNED
        "' "
        "  AND NOT EXISTS (SELECT FROM worker_failures f "
        "    WHERE f.run_id = $1 AND f.worker = a.worker))",
        request.failed_run_id())[0];
    if (Int(row[0]) >= kMostWorkerFailures && !Bool(row[1])) {
      FailRun(t, request.failed_run_id(),
              absl::StrCat("no worker can serve this run: ", request.failure()));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<v1::Assignment>> AssignWork(Connection& connection,
                                                         const Caller& caller,
                                                         const v1::AssignWorkRequest& request) {
  using Result = absl::StatusOr<std::optional<v1::Assignment>>;
  return connection.Transact([&](Transaction& t) -> Result {
    // workers that ask at the same moment must see each other's assignments
    t.ExecScript("LOCK TABLE assignments IN SHARE ROW EXCLUSIVE MODE");
    // The run that wants most steps per thread, this worker's included. A run that the worker
    // failed rests for 2, 4, ... 64 seconds.
    const pqxx::result rows = t.Exec(R"sql(
        SELECT r.id, r.task, r.reward, c.advertise, c.collect_token, c.epoch
        FROM claims c JOIN runs r ON r.id = c.run_id
        WHERE c.role = 'learner' AND c.released_at IS NULL AND c.expires_at > now()
          AND c.wanted_steps > 0 AND r.state = 'RUNNING'
          AND NOT EXISTS (SELECT FROM worker_failures f WHERE f.run_id = r.id AND f.worker = $1
            AND f.at > now() - 2 ^ least(f.times, 6) * interval '1 second')
        ORDER BY c.wanted_steps::double precision / ($2 + (SELECT coalesce(sum(a.threads), 0)
          FROM assignments a WHERE a.run_id = r.id AND a.epoch = c.epoch AND a.worker <> $1
            AND a.assigned_at > now() - interval ')sql" ASSIGNED R"sql(')) DESC, r.id LIMIT 1)sql",
                                     request.worker(), request.threads());
    if (rows.empty()) {
      // its threads serve no run until it asks again
      t.Exec("DELETE FROM assignments WHERE worker = $1", request.worker());
      return std::nullopt;
    }
    t.Exec(
        "INSERT INTO assignments (worker, run_id, epoch, threads) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (worker) DO UPDATE SET run_id = excluded.run_id, epoch = excluded.epoch, "
        "  threads = excluded.threads, assigned_at = now()",
        request.worker(), Int(rows[0][0]), Int(rows[0][5]), request.threads());
    t.Exec(
        "INSERT INTO served_runs (caller_id, run_id) VALUES ($1, $2) "
        "ON CONFLICT (caller_id, run_id) DO UPDATE SET assigned_at = now()",
        caller.id, Int(rows[0][0]));
    v1::Assignment assignment;
    assignment.set_run_id(Int(rows[0][0]));
    assignment.mutable_task()->ParseFromString(Blob(rows[0][1]));
    assignment.set_reward(Enum<v1::RewardSource>(rows[0][2]));
    assignment.set_learner_address(Text(rows[0][3]));
    assignment.set_collect_token(Text(rows[0][4]));
    return assignment;
  });
}

absl::Status CheckServes(Transaction& t, const Caller& caller, int64_t run_id, int64_t iteration) {
  const pqxx::result rows = t.Exec(R"sql(
      SELECT r.iterations, coalesce(r.finished_at < now() - interval '10 minutes', false) AS ended,
        EXISTS (SELECT FROM served_runs s WHERE s.run_id = r.id AND s.caller_id = $2
          AND s.assigned_at > now() - interval '1 hour') AS serves
      FROM runs r WHERE r.id = $1)sql",
                                   run_id, caller.id);
  if (rows.empty()) return UnknownRun(run_id);
  if (!Bool(rows[0]["serves"])) {
    return absl::PermissionDeniedError(absl::StrCat(
        "run ", run_id, " was not assigned to you: a worker writes to runs that AssignWork gives"));
  }
  if (Bool(rows[0]["ended"])) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " has ended, and takes nothing from workers any more"));
  }
  const int64_t newest = Int(rows[0]["iterations"]) + kAhead;
  if (iteration <= newest) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("iteration ", iteration, " of run ", run_id,
                                                    " has not come: the newest that is taken is ",
                                                    newest));
}
#undef IS_OVER
#undef ASSIGNED

}  // namespace backflip::preference_broker
