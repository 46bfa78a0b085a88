#include "services/preference_broker/store/labeling/sessions.h"

#include <algorithm>
#include <memory>

#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/checks.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/runs/clips.h"

namespace backflip::preference_broker {
namespace {

// Upper half of the key of the advisory locks under which time is credited.
constexpr int64_t kPaidTimeLock = int64_t{0x74696d65} << 32;  // "time"

// 0: the caller has nothing to do with any run yet.
absl::StatusOr<int64_t> RunOf(Transaction& t, const Caller& caller, int64_t run_id) {
  if (run_id != 0) {
    RETURN_IF_ERROR(CheckRunExists(t, run_id));
    RETURN_IF_ERROR(CheckRunAllowed(caller, run_id));
    return run_id;
  }
  const pqxx::result rows = t.Exec(R"sql(
      SELECT id FROM runs WHERE reward = 'PREFERENCES'
        AND (cardinality($1::bigint[]) = 0 OR id = ANY ($1::bigint[]))
      ORDER BY state IN ('QUEUED', 'RUNNING') DESC, id DESC LIMIT 1)sql",
                                   caller.run_ids);
  return rows.empty() ? 0 : Int(rows[0][0]);
}

bool HasGuide(Transaction& t, const LabelingConfig& run) {
  return !run.task.instructions().empty() ||
         !t.Exec(
               "SELECT FROM gold_pairs WHERE run_id = $1 AND use = 'SHOW' AND removed_at IS NULL "
               "LIMIT 1",
               run.id)
              .empty();
}

int32_t QualificationLeftOf(Transaction& t, const Caller& caller, const LabelingConfig& run) {
  if (caller.role != Role::kLabeler) return 0;
  return QualificationOf(t, caller.id, run).left;
}

void AddRun(Transaction& t, const LabelingConfig& run, v1::Session* session) {
  session->set_run_id(run.id);
  session->set_task(run.task.name());
  session->set_question(run.task.question());
  session->set_clips_per_question(std::max(2, run.queries.clips_per_question()));
  const pqxx::row row = t.Exec("SELECT state, labels, spec FROM runs WHERE id = $1", run.id)[0];
  session->set_run_state(Enum<v1::RunState>(row[0]));
  const v1::RunSpec spec = options::StoredSpec(Blob(row[2]));
  session->set_run_label_budget(spec.labels());
  // Rounded down to tens where checks are mixed in: somebody who labels alone could
  // otherwise find the checks by watching the count.
  const bool checked =
      run.quality.gold_share() + run.quality.repeat_share() > 0 || run.queries.progress_share() > 0;
  const int64_t unit = checked ? 10 : 1;
  session->set_run_labels(Int(row[1]) / unit * unit);
}

// Answers of every purpose: labelers are not told them.
void AddAnswers(Transaction& t, const Caller& caller, int64_t run_id, v1::Session* session) {
  const pqxx::row row = t.Exec(R"sql(
      SELECT (SELECT count(*) FROM leases s JOIN questions q ON q.id = s.question_id
          WHERE s.caller_id = $1 AND s.state = 'ANSWERED' AND q.run_id = $2) AS answers,
        count(*) AS today,
        count(*) FILTER (WHERE l.answered_at > now() - interval '10 minutes') AS newest,
        (extract(epoch FROM now() - min(l.answered_at) FILTER
          (WHERE l.answered_at > now() - interval '10 minutes')) / 60)::double precision AS minutes
      FROM standing_labels l WHERE l.caller_id = $1 AND l.run_id = $2
        AND l.answered_at > now() - interval '24 hours')sql",
                               caller.id, run_id)[0];
  session->set_answers(Int(row["answers"]));
  session->set_answers_today(Int(row["today"]));
  if (!row["minutes"].is_null()) {
    session->set_answers_per_minute(Int(row["newest"]) /
                                    std::clamp(Double(row["minutes"]), 1.0, 10.0));
  }
}

// Returns whether the caller has read the run's guide.
bool AddTime(Transaction& t, const Caller& caller, const LabelingConfig& run,
             v1::Session* session) {
  const pqxx::result rows = t.Exec(R"sql(
      SELECT active_ms, waiting_ms, guide_read, last_at > now() - interval '5 minutes'
          AND $3::integer > 0 AND working_since <= now() - $3::integer * interval '1 minute'
      FROM labeler_time WHERE caller_id = $1 AND run_id = $2)sql",
                                   caller.id, run.id, run.quality.break_after_minutes());
  if (rows.empty()) return false;
  session->set_active_ms(Int(rows[0][0]));
  session->set_waiting_ms(Int(rows[0][1]));
  session->set_break_suggested(Bool(rows[0][3]));
  return Bool(rows[0][2]);
}

}  // namespace

absl::StatusOr<v1::Session> GetSession(Connection& connection, RunCache& runs, const Caller& caller,
                                       int64_t asked) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Session> {
    v1::Session session;
    ASSIGN_OR_RETURN(const int64_t run_id, RunOf(t, caller, asked));
    const CallerStatus status = ReadCallerStatus(t, caller, run_id);
    session.set_name(status.name);
    session.set_paused(status.state == "PAUSED");
    session.set_message(status.reason);
    session.set_answers_wanted(status.answers_wanted);
    session.set_minutes_wanted(status.minutes_wanted);
    if (status.complete) session.set_completion_code(status.completion_code);
    if (run_id == 0) return session;

    ASSIGN_OR_RETURN(const auto run, runs.Get(t, run_id));
    AddRun(t, *run, &session);
    AddAnswers(t, caller, run_id, &session);
    const bool guide_read = AddTime(t, caller, *run, &session);
    session.set_guide_unread(!guide_read && HasGuide(t, *run));
    session.set_qualification_left(QualificationLeftOf(t, caller, *run));
    return session;
  });
}

absl::StatusOr<v1::Guide> GetGuide(Connection& connection, RunCache& runs, const Caller& caller,
                                   int64_t asked) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::Guide> {
    v1::Guide guide;
    ASSIGN_OR_RETURN(const int64_t run_id, RunOf(t, caller, asked));
    if (run_id == 0) return guide;
    ASSIGN_OR_RETURN(const auto run, runs.Get(t, run_id));
    guide.set_question(run->task.question());
    guide.set_instructions(run->task.instructions());
    for (const auto& row : t.Exec(R"sql(
             SELECT g.answer, g.explanation, a.picture, b.picture, NULL FROM gold_pairs g
             JOIN clips a ON a.id = g.first_clip JOIN clips b ON b.id = g.second_clip
             WHERE g.run_id = $1 AND g.use = 'SHOW' AND g.removed_at IS NULL
             ORDER BY g.id LIMIT 20)sql",
                                  run_id)) {
      v1::Example* example = guide.add_examples();
      example->set_scene_hash(run->task.scene_hash());
      example->set_playback_fps(run->task.playback_fps());
      example->mutable_answer()->set_choice(Enum<v1::Choice>(row[0]));
      example->set_explanation(Text(row[1]));
      for (const int column : {2, 3})
        RETURN_IF_ERROR(ShowClip(row[column], row[4], example->add_clips()));
    }
    guide.set_qualification_left(QualificationLeftOf(t, caller, *run));
    t.Exec(
        "INSERT INTO labeler_time (caller_id, run_id, guide_read) VALUES ($1, $2, true) "
        "ON CONFLICT (caller_id, run_id) DO UPDATE SET guide_read = true",
        caller.id, run_id);
    return guide;
  });
}

void LockPaidTime(Transaction& t, int64_t caller_id) {
  // not a row's lock: the first of a labeler's calls find none
  t.Exec("SELECT pg_advisory_xact_lock($1::bigint | $2::bigint)", kPaidTimeLock, caller_id);
}

absl::Status CreditWaiting(Connection& connection, const Caller& caller, int64_t asked,
                           int64_t waited_ms) {
  return connection.Transact([&](Transaction& t) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t run_id, RunOf(t, caller, asked));
    if (run_id == 0) return absl::OkStatus();
    LockPaidTime(t, caller.id);
    t.Exec(R"sql(
        INSERT INTO labeler_time AS w (caller_id, run_id, waiting_ms, waited_ms, waited_after)
        SELECT $1, $2, credit.ms, credit.ms, credit.label FROM (
          SELECT a.label, greatest(0, least($3::bigint,
              (extract(epoch FROM now() - max(b.last_at)) * 1000)::bigint,
              $4::bigint - coalesce(sum(b.waited_ms) FILTER (WHERE b.waited_after = a.label),
                0)::bigint)) AS ms
          FROM (SELECT coalesce(max(id), 0) AS label FROM labels WHERE caller_id = $1) a
          LEFT JOIN labeler_time b ON b.caller_id = $1 GROUP BY a.label) credit
        WHERE EXISTS (SELECT FROM runs WHERE id = $2 AND state IN ('QUEUED', 'RUNNING', 'PAUSED'))
        ON CONFLICT (caller_id, run_id) DO UPDATE SET last_at = greatest(w.last_at, now()),
          waiting_ms = w.waiting_ms + excluded.waiting_ms, waited_after = excluded.waited_after,
          waited_ms = excluded.waited_ms
            + CASE WHEN w.waited_after = excluded.waited_after THEN w.waited_ms ELSE 0 END)sql",
           caller.id, run_id, waited_ms, kMostWaitingMs);
    return absl::OkStatus();
  });
}

}  // namespace backflip::preference_broker
