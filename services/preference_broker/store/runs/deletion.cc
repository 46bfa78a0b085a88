#include "services/preference_broker/store/runs/deletion.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"

namespace backflip::preference_broker {
namespace {

constexpr int32_t kDays = 30;
// Of the audit.
constexpr int32_t kAuditDays = 365;

// A kind of garbage, and the statement that deletes it: it counts rows, and the bytes of their
// large values. $1: days.
struct Garbage {
  const char* what;
  const char* sql;
};

constexpr Garbage kGarbage[] = {
    {"clips that nobody was asked about, of ended runs", R"sql(
      WITH gone AS (DELETE FROM clips c USING runs r WHERE r.id = c.run_id
          AND r.finished_at < now() - $1 * interval '1 day'
          AND NOT EXISTS (SELECT FROM question_clips q WHERE q.clip_id = c.id)
          AND NOT EXISTS (SELECT FROM gold_pairs g WHERE c.id IN (g.first_clip, g.second_clip))
        RETURNING octet_length(c.behaviour) + octet_length(c.picture) + octet_length(c.physics)
          + coalesce(octet_length(c.truth), 0) AS size)
      SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone)sql"},
    {"checkpoints but the newest, of ended runs", R"sql(
      WITH gone AS (DELETE FROM checkpoints c USING runs r WHERE r.id = c.run_id
          AND r.finished_at < now() - $1 * interval '1 day'
          AND EXISTS (SELECT FROM checkpoints n WHERE n.run_id = c.run_id AND n.role = c.role
            AND n.iteration > c.iteration)
        RETURNING octet_length(c.data) AS size)
      SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone)sql"},
    {"snapshots but the best, the newest and those that forks need, of ended runs", R"sql(
      WITH gone AS (DELETE FROM snapshots s USING runs r WHERE r.id = s.run_id
          AND r.finished_at < now() - $1 * interval '1 day' AND NOT s.kept
          AND NOT (s.kind = 'POLICY' AND s.version = coalesce(r.best_version, 0))
          AND EXISTS (SELECT FROM snapshots n WHERE n.run_id = s.run_id AND n.kind = s.kind
            AND n.version > s.version)
        RETURNING octet_length(s.data) AS size)
      SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone)sql"},
    {"points of metrics beyond a thousand in a series, of ended runs", R"sql(
      WITH placed AS (SELECT m.run_id, m.name, m.iteration,
            row_number() OVER (PARTITION BY m.run_id, m.name ORDER BY m.iteration) AS place,
            count(*) OVER (PARTITION BY m.run_id, m.name) AS points
          FROM metric_points m JOIN runs r ON r.id = m.run_id
          WHERE r.finished_at < now() - $1 * interval '1 day'),
        gone AS (DELETE FROM metric_points m USING placed p WHERE m.run_id = p.run_id
            AND m.name = p.name AND m.iteration = p.iteration AND p.points > 1000
            AND 1000 * p.place / p.points = 1000 * (p.place - 1) / p.points
          RETURNING 1)
      SELECT count(*), 0 FROM gone)sql"},
    {"bundles of no run", R"sql(
      WITH gone AS (DELETE FROM bundles b WHERE b.created_at < now() - $1 * interval '1 day'
          AND NOT EXISTS (SELECT FROM runs r WHERE r.bundle = b.sha256) RETURNING b.size)
      SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone)sql"},
    {"tokens that were revoked or have expired", R"sql(
      WITH gone AS (DELETE FROM tokens
          WHERE least(revoked_at, expires_at) < now() - $1 * interval '1 day' RETURNING 1)
      SELECT count(*), 0 FROM gone)sql"},
    {"invites that expired and nobody accepted", R"sql(
      WITH gone AS (DELETE FROM invites i WHERE i.expires_at < now() - $1 * interval '1 day'
          AND NOT EXISTS (SELECT FROM callers c WHERE c.invite_id = i.id) RETURNING 1)
      SELECT count(*), 0 FROM gone)sql"},
    {"answers kept for repeated calls", R"sql(
      WITH gone AS (DELETE FROM operator_requests
            WHERE created_at < now() - $1 * interval '1 day' RETURNING 1),
        more AS (DELETE FROM run_requests
            WHERE created_at < now() - $1 * interval '1 day' RETURNING 1)
      SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM more), 0)sql"},
    {"assignments of workers that have gone", R"sql(
      WITH gone AS (DELETE FROM assignments
            WHERE assigned_at < now() - $1 * interval '1 day' RETURNING 1),
        more AS (DELETE FROM served_runs
            WHERE assigned_at < now() - $1 * interval '1 day' RETURNING 1)
      SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM more), 0)sql"},
};

v1::Deleted DeletedOf(const std::string& what, const pqxx::row& row) {
  v1::Deleted deleted;
  deleted.set_what(what);
  deleted.set_rows(Int(row[0]));
  deleted.set_bytes(Int(row[1]));
  return deleted;
}

// What belongs to a run, as DeleteRunResponse tells it.
void CountRun(Transaction& t, int64_t run_id, v1::DeleteRunResponse* response) {
  for (const auto& row : t.Exec(R"sql(
           SELECT count(*), 0::bigint, 'labels' FROM labels WHERE run_id = $1
           UNION ALL SELECT count(*), 0, 'questions' FROM questions WHERE run_id = $1
           UNION ALL SELECT count(*), coalesce(sum(octet_length(behaviour) + octet_length(picture)
               + octet_length(physics) + coalesce(octet_length(truth), 0)), 0)::bigint, 'clips'
             FROM clips WHERE run_id = $1
           UNION ALL SELECT count(*), coalesce(sum(octet_length(data)), 0)::bigint, 'snapshots'
             FROM snapshots WHERE run_id = $1
           UNION ALL SELECT count(*), coalesce(sum(octet_length(data)), 0)::bigint, 'checkpoints'
             FROM checkpoints WHERE run_id = $1
           UNION ALL SELECT count(*), 0, 'points of metrics' FROM metric_points
             WHERE run_id = $1)sql",
                                run_id)) {
    *response->add_deleted() = DeletedOf(Text(row[2]), row);
  }
}

// FAILED_PRECONDITION: something is in the way of deleting the run, which is locked.
absl::Status CheckDeletable(Transaction& t, const v1::DeleteRunRequest& request) {
  const int64_t run_id = request.run_id();
  const pqxx::result runs =
      t.Exec("SELECT state FROM runs WHERE id = $1 FOR UPDATE", request.run_id());
  if (runs.empty()) return UnknownRun(run_id);
  const std::string state = Text(runs[0][0]);
  if (state != "FINISHED" && state != "FAILED" && state != "CANCELLED") {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " is ", state, ": cancel it first"));
  }
  const auto forks = Ints(t.Exec("SELECT id FROM runs WHERE forked_from_run = $1", run_id));
  if (!forks.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "run ", run_id, " was forked into ", absl::StrJoin(forks, ", "), ": delete those first"));
  }
  const int64_t labels =
      Int(t.Exec("SELECT count(*) FROM standing_labels WHERE run_id = $1", run_id)[0][0]);
  if (labels > 0 && !request.with_labels()) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " has ", labels,
                     " labels, which somebody gave: export them, and say that "
                     "they go too (with_labels; `backflip run delete ",
                     run_id, " --labels`)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::DeleteRunResponse> DeleteRun(Connection& connection, const Caller& caller,
                                                const v1::DeleteRunRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::DeleteRunResponse> {
    v1::DeleteRunResponse response;
    ASSIGN_OR_RETURN(const bool answered, AnsweredBefore(t, request, &response));
    if (answered) return response;
    RETURN_IF_ERROR(CheckDeletable(t, request));
    t.AllowMinutes();
    CountRun(t, request.run_id(), &response);
    t.Exec("SELECT delete_run($1)", request.run_id());
    Audit(t, caller.id, request.run_id(), "delete run", "");
    RememberAnswer(t, caller.id, request, response);
    t.Signal(RunTopic(request.run_id()));
    return response;
  });
}

absl::StatusOr<v1::CollectGarbageResponse> CollectGarbage(
    Connection& connection, const Caller& caller, const v1::CollectGarbageRequest& request) {
  const int32_t days = request.days() == 0 ? kDays : request.days();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::CollectGarbageResponse> {
    v1::CollectGarbageResponse response;
    t.AllowMinutes();
    // a dry run does the same, and takes it back
    t.ExecScript("SAVEPOINT before");
    for (const Garbage& garbage : kGarbage)
      *response.add_deleted() = DeletedOf(garbage.what, t.Exec(garbage.sql, days)[0]);
    *response.add_deleted() =
        DeletedOf(absl::StrCat("entries of the audit older than ", kAuditDays, " days"),
                  t.Exec("SELECT delete_audit(now() - $1 * interval '1 day'), 0",
                         std::max(days, kAuditDays))[0]);
    if (request.dry_run()) {
      t.ExecScript("ROLLBACK TO SAVEPOINT before");
    } else {
      Audit(t, caller.id, 0, "collect garbage", absl::StrCat("older than ", days, " days"));
    }
    return response;
  });
}

}  // namespace backflip::preference_broker
