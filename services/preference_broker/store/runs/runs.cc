#include "services/preference_broker/store/runs/runs.h"

#include "absl/strings/str_cat.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/requests.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/copied_labels.h"
#include "services/preference_broker/store/runs/scenes.h"

namespace backflip::preference_broker {
namespace {

// The run that an earlier call with this id made or continued; 0: there was none.
// ALREADY_EXISTS: that call asked for something else.
absl::StatusOr<int64_t> EarlierRequest(Transaction& t, const std::string& request_id,
                                       const std::string& body) {
  const pqxx::result rows =
      t.Exec("SELECT run_id, body_sha256 = $2 FROM run_requests WHERE request_id = $1", request_id,
             Bytes{body});
  if (rows.empty()) return 0;
  if (!Bool(rows[0][1])) {
    return absl::AlreadyExistsError(absl::StrCat(
        "request_id '", request_id, "' was used for another request: choose a new one for each"));
  }
  return Int(rows[0][0]);
}

// A run without its metrics. `open`, `learner`, `trainer`, `wanted` and `quiet` say what limits
// it.
constexpr char kRunColumns[] = R"sql(
SELECT r.id, r.state, r.spec, r.task, r.message, r.iterations, r.steps, r.labels, r.questions,
  coalesce(r.best_version, 0) AS best_version, r.revision,
  extract(epoch FROM r.created_at) AS created, extract(epoch FROM r.started_at) AS started,
  extract(epoch FROM r.finished_at) AS finished,
  (SELECT count(*) FROM leases l JOIN questions q ON q.id = l.question_id
    WHERE q.run_id = r.id AND l.state = 'LIVE') AS leases,
  (SELECT count(*) FROM leases l JOIN questions q ON q.id = l.question_id
    WHERE q.run_id = r.id AND l.state = 'LIVE' AND q.purpose = 'TRAIN'
      AND (l.leased_at < now() - 3 * l.lease_ms * interval '1 ms'
        OR (SELECT max(x.expires_at) FROM leases x WHERE x.caller_id = l.caller_id
            AND x.state = 'EXPIRED' AND NOT x.closed AND x.expires_at > '-infinity'
            AND x.expires_at <= now())
          > coalesce((SELECT n.answered_at FROM labels n WHERE n.caller_id = l.caller_id
              ORDER BY n.id DESC LIMIT 1), '-infinity'))) AS long_held,
  EXISTS (SELECT FROM questions q
    WHERE q.run_id = r.id AND q.open_slots > 0 AND q.made_for IS NULL) AS open,
  learner.run_id IS NOT NULL AS learner,
  EXISTS (SELECT FROM claims c WHERE c.run_id = r.id AND c.role = 'trainer'
    AND c.released_at IS NULL AND c.expires_at > now()) AS trainer,
  coalesce(learner.wanted_steps, 0) AS wanted,
  greatest(r.progress_at, learner.claimed_at) < now() - interval '10 seconds' AS quiet,
  r.asking_stopped, coalesce(r.forked_from_run, 0) AS forked_run,
  coalesce(r.forked_from_version, 0) AS forked_version
FROM runs r LEFT JOIN claims learner ON learner.run_id = r.id AND learner.role = 'learner'
  AND learner.released_at IS NULL AND learner.expires_at > now()
)sql";

v1::Limit LimitOf(const v1::Run& run, const pqxx::row& row) {
  if (run.state() != v1::QUEUED && run.state() != v1::RUNNING) return v1::LIMIT_UNSPECIFIED;
  if (!Bool(row["learner"])) return v1::LIMIT_LEARNER;
  if (run.spec().reward() == v1::PREFERENCES && !Bool(row["trainer"])) return v1::LIMIT_TRAINER;
  if (Int(row["wanted"]) > 0) {
    return Bool(row["quiet"]) ? v1::LIMIT_WORKERS : v1::LIMIT_NONE;
  }
  // a learner that wants no steps while answers are missing waits for them
  if (Bool(row["open"]) || run.leases() > 0) return v1::LIMIT_LABELS;
  return v1::LIMIT_NONE;
}

v1::Run RunOf(const pqxx::row& row) {
  v1::Run run;
  run.set_id(Int(row["id"]));
  run.set_state(Enum<v1::RunState>(row["state"]));
  *run.mutable_spec() = options::StoredSpec(Blob(row["spec"]));
  run.mutable_task()->ParseFromString(Blob(row["task"]));
  run.set_message(Text(row["message"]));
  run.set_iterations(Int(row["iterations"]));
  run.set_steps(Int(row["steps"]));
  run.set_labels(Int(row["labels"]));
  run.set_questions(Int(row["questions"]));
  run.set_best_version(Int(row["best_version"]));
  run.set_revision(Int(row["revision"]));
  run.set_created_ms(Millis(row["created"]));
  run.set_started_ms(Millis(row["started"]));
  run.set_finished_ms(Millis(row["finished"]));
  run.set_leases(Int(row["leases"]));
  run.set_long_held(Int(row["long_held"]));
  run.set_asking_stopped(Bool(row["asking_stopped"]));
  run.set_forked_from_run(Int(row["forked_run"]));
  run.set_forked_from_version(Int(row["forked_version"]));
  run.set_limit(LimitOf(run, row));
  return run;
}

// One index probe for each series, however long it is.
void AddNewestMetrics(Transaction& t, v1::Run* run) {
  const pqxx::result rows = t.Exec(R"sql(
      WITH RECURSIVE names AS (
        SELECT min(name) AS name FROM metric_points WHERE run_id = $1
        UNION ALL SELECT
          (SELECT min(m.name) FROM metric_points m WHERE m.run_id = $1 AND m.name > names.name)
          FROM names WHERE names.name IS NOT NULL)
      SELECT name, (SELECT m.value FROM metric_points m WHERE m.run_id = $1 AND m.name = names.name
        ORDER BY m.iteration DESC LIMIT 1) FROM names WHERE name IS NOT NULL)sql",
                                   run->id());
  for (const auto& row : rows) (*run->mutable_metrics())[Text(row[0])] = Double(row[1]);
}

}  // namespace

absl::StatusOr<v1::Run> CreateRun(Connection& connection, const Caller& caller,
                                  const v1::CreateRunRequest& request) {
  const std::string body = BodyHash(request);
  const std::string bundle = base::FromHex(request.task().bundle_hash());
  const std::string spec = request.spec().SerializeAsString();
  const std::string task = request.task().SerializeAsString();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Run> {
    ASSIGN_OR_RETURN(const int64_t earlier, EarlierRequest(t, request.request_id(), body));
    if (earlier != 0) return GetRun(t, earlier, true);
    if (t.Exec("SELECT FROM bundles WHERE sha256 = $1", Bytes{bundle}).empty()) {
      return absl::NotFoundError(
          absl::StrCat("the task bundle ", request.task().bundle_hash(),
                       " is not stored here: put it with BundleService.Put first"));
    }
    if (!request.task().scene_hash().empty())
      RETURN_IF_ERROR(CheckSceneExists(t, request.task().scene_hash()));
    const int64_t from_run = request.labels_from_run();
    if (from_run != 0) RETURN_IF_ERROR(CheckLabelsFit(t, from_run, request.spec(), request.task()));
    // the column says whether teachers can answer: a rubric will do
    const bool has_truth = request.task().has_true_reward() || request.task().rubric_criteria() > 0;
    const int64_t id =
        Int(t.Exec("INSERT INTO runs (reward, spec, task, has_true_reward, bundle) VALUES ($1, $2, "
                   "$3, $4, $5) RETURNING id",
                   v1::RewardSource_Name(request.spec().reward()), Bytes{spec}, Bytes{task},
                   has_truth, Bytes{bundle})[0][0]);
    t.Exec("INSERT INTO run_requests (request_id, run_id, body_sha256) VALUES ($1, $2, $3)",
           request.request_id(), id, Bytes{body});
    Audit(t, caller.id, id, "create run", request.task().name());
    if (from_run != 0) {
      CopyLabels(t, from_run, id, has_truth);
      Audit(t, caller.id, id, "copy labels", absl::StrCat("of run ", from_run));
    }
    t.Signal(kClaimsTopic);
    return GetRun(t, id, true);
  });
}

absl::StatusOr<v1::Run> ForkRun(Connection& connection, const Caller& caller,
                                const v1::ForkRunRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Run> {
    ASSIGN_OR_RETURN(const int64_t earlier, EarlierRequest(t, request.request_id(), body));
    if (earlier != 0) return GetRun(t, earlier, true);
    const int64_t from_run = request.run_id();
    const pqxx::result runs =
        t.Exec("SELECT has_true_reward, reward FROM runs WHERE id = $1", from_run);
    if (runs.empty()) return UnknownRun(from_run);
    // keep it: the new run's learner will ask for it
    if (t.Exec("UPDATE snapshots SET kept = true WHERE run_id = $1 AND kind = 'POLICY' AND version "
               "= $2 RETURNING version",
               from_run, request.version())
            .empty()) {
      const std::string versions =
          Text(t.Exec("SELECT coalesce(string_agg(version::text, ', ' ORDER BY version), 'none') "
                      "FROM snapshots WHERE run_id = $1 AND kind = 'POLICY'",
                      from_run)[0][0]);
      return absl::NotFoundError(absl::StrCat("run ", from_run,
                                              " has no policy snapshot of version ",
                                              request.version(), "; it has these: ", versions));
    }
    const int64_t id =
        Int(t.Exec("INSERT INTO runs (reward, spec, task, has_true_reward, bundle, "
                   "forked_from_run, forked_from_version) "
                   "SELECT reward, spec, task, has_true_reward, bundle, id, $2 FROM runs WHERE id "
                   "= $1 RETURNING id",
                   from_run, request.version())[0][0]);
    t.Exec("INSERT INTO run_requests (request_id, run_id, body_sha256) VALUES ($1, $2, $3)",
           request.request_id(), id, Bytes{body});
    Audit(t, caller.id, id, "fork run", absl::StrCat(from_run, "@", request.version()));
    if (Text(runs[0][1]) == "PREFERENCES") CopyLabels(t, from_run, id, Bool(runs[0][0]));
    t.Signal(kClaimsTopic);
    return GetRun(t, id, true);
  });
}

absl::StatusOr<v1::Run> GetRun(Transaction& t, int64_t run_id, bool with_metrics) {
  static const std::string* const sql =
      new std::string(absl::StrCat(kRunColumns, "WHERE r.id = $1"));
  const pqxx::result rows = t.Exec(sql->c_str(), run_id);
  if (rows.empty()) return UnknownRun(run_id);
  v1::Run run = RunOf(rows[0]);
  if (with_metrics) AddNewestMetrics(t, &run);
  return run;
}

absl::StatusOr<v1::Run> GetRun(Connection& connection, int64_t run_id, bool with_metrics) {
  return connection.Transact([&](Transaction& t) { return GetRun(t, run_id, with_metrics); });
}

absl::StatusOr<std::vector<v1::Run>> ListRuns(Connection& connection, const Caller& caller,
                                              int64_t before, int32_t limit) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<v1::Run>> {
    static const std::string* const sql = new std::string(
        absl::StrCat(kRunColumns,
                     "WHERE (cardinality($1::bigint[]) = 0 OR r.id = ANY ($1::bigint[])) "
                     "AND ($2::bigint = 0 OR r.id < $2) ORDER BY r.id DESC LIMIT $3"));
    std::vector<v1::Run> runs;
    for (const auto& row : t.Exec(sql->c_str(), caller.run_ids, before, limit)) {
      runs.push_back(RunOf(row));
      AddNewestMetrics(t, &runs.back());
    }
    return runs;
  });
}

absl::StatusOr<v1::Run> ContinueRun(Connection& connection, const Caller& caller,
                                    const v1::ContinueRunRequest& request) {
  const std::string body = BodyHash(request);
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Run> {
    ASSIGN_OR_RETURN(const int64_t earlier, EarlierRequest(t, request.request_id(), body));
    if (earlier != 0) return GetRun(t, earlier, true);
    const pqxx::result rows =
        t.Exec("SELECT state, spec, asking_stopped FROM runs WHERE id = $1 FOR NO KEY UPDATE",
               request.run_id());
    if (rows.empty()) return UnknownRun(request.run_id());
    const std::string state = Text(rows[0][0]);
    if (state == "QUEUED" || state == "RUNNING") {
      return absl::FailedPreconditionError(
          absl::StrCat("run ", request.run_id(), " is ", state, ": cancel or pause it first"));
    }
    v1::RunSpec spec = options::StoredSpec(Blob(rows[0][1]));
    spec.set_labels(spec.labels() + request.add_labels());
    spec.set_steps(spec.steps() + request.add_steps());
    // the run has trained all steps that its labels allow; with a warm-up it would wait for many
    // more labels before its next step
    if (rows[0][2].as<bool>()) spec.set_warm_up_labels(0);
    RETURN_IF_ERROR(options::ValidateRunSpec(spec));
    const std::string bytes = spec.SerializeAsString();
    t.Exec(
        "UPDATE runs SET state = 'QUEUED', spec = $2, message = '', finished_at = NULL, "
        "asking_stopped = false WHERE id = $1",
        request.run_id(), Bytes{bytes});
    // whatever failed it before may have been mended
    t.Exec("UPDATE claims SET attempts = 0 WHERE run_id = $1", request.run_id());
    t.Exec("DELETE FROM worker_failures WHERE run_id = $1", request.run_id());
    t.Exec("INSERT INTO run_requests (request_id, run_id, body_sha256) VALUES ($1, $2, $3)",
           request.request_id(), request.run_id(), Bytes{body});
    Audit(t, caller.id, request.run_id(), "continue run",
          absl::StrCat("+", request.add_labels(), " labels, +", request.add_steps(), " steps"));
    TouchRun(t, request.run_id());
    t.Signal(kClaimsTopic);
    t.Signal(kQuestionsTopic);
    return GetRun(t, request.run_id(), true);
  });
}

absl::StatusOr<v1::Run> CancelRun(Connection& connection, const Caller& caller,
                                  const v1::CancelRunRequest& request) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Run> {
    const pqxx::result rows =
        t.Exec("SELECT state FROM runs WHERE id = $1 FOR NO KEY UPDATE", request.run_id());
    if (rows.empty()) return UnknownRun(request.run_id());
    const std::string state = Text(rows[0][0]);
    const bool active = state == "QUEUED" || state == "RUNNING";
    if (active || (state == "PAUSED" && !request.pause())) {
      t.Exec(
          "UPDATE runs SET state = $2, "
          "finished_at = CASE WHEN $3::boolean THEN NULL ELSE now() END WHERE id = $1",
          request.run_id(), request.pause() ? "PAUSED" : "CANCELLED", request.pause());
      Audit(t, caller.id, request.run_id(), request.pause() ? "pause run" : "cancel run", "");
      TouchRun(t, request.run_id());
      t.Signal(kQuestionsTopic);
    }
    return GetRun(t, request.run_id(), true);
  });
}

absl::StatusOr<v1::Run> StopAsking(Connection& connection, const Caller& caller, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Run> {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    if (!t.Exec("UPDATE runs SET asking_stopped = true WHERE id = $1 AND NOT asking_stopped "
                "RETURNING id",
                run_id)
             .empty()) {
      Audit(t, caller.id, run_id, "stop asking", "");
      TouchRun(t, run_id);
      t.Signal(kQuestionsTopic);
    }
    return GetRun(t, run_id, true);
  });
}

absl::StatusOr<RunDefinition> GetRunDefinition(Connection& connection, int64_t run_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<RunDefinition> {
    const pqxx::result rows = t.Exec("SELECT spec, task FROM runs WHERE id = $1", run_id);
    if (rows.empty()) return UnknownRun(run_id);
    RunDefinition definition;
    definition.spec = options::StoredSpec(Blob(rows[0][0]));
    definition.task.ParseFromString(Blob(rows[0][1]));
    return definition;
  });
}

}  // namespace backflip::preference_broker
