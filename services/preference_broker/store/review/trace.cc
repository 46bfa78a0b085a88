#include "services/preference_broker/store/review/trace.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/labeling/answers.h"
#include "services/preference_broker/store/runs/claims.h"

namespace backflip::preference_broker {
namespace {

// Upper half of the key of the advisory locks under which a run's sources are stored.
constexpr int64_t kSourcesLock = int64_t{0x736f7572} << 32;

void AddQuestion(Transaction& t, int64_t question_id, v1::LabelTrace* trace) {
  const pqxx::row row = t.Exec(R"sql(
      SELECT q.purpose, coalesce(q.round, -1) AS round, coalesce(nullif(q.selector, ''), d.selector, '') AS selector,
        q.score, coalesce(d.ensemble_version, 0) AS ensemble, extract(epoch FROM q.created_at) AS at
      FROM questions q LEFT JOIN rounds d ON d.run_id = q.run_id AND d.round = q.round
      WHERE q.id = $1)sql",
                               question_id)[0];
  v1::TracedQuestion& question = *trace->mutable_question();
  question.set_id(question_id);
  question.set_purpose(Enum<v1::Purpose>(row["purpose"]));
  question.set_round(Int(row["round"]));
  question.set_selector(Text(row["selector"]));
  question.set_score(Double(row["score"]));
  question.set_ensemble_version(Int(row["ensemble"]));
  question.set_opened_ms(Millis(row["at"]));
  for (const auto& of : t.Exec(R"sql(
           SELECT c.sha256, c.iteration, c.ticket, c.index, c.worker,
             extract(epoch FROM c.created_at) AS at
           FROM question_clips p JOIN clips c ON c.id = p.clip_id
           WHERE p.question_id = $1 ORDER BY p.position)sql",
                               question_id)) {
    v1::TracedClip& clip = *trace->add_clips();
    clip.set_clip_id(Hex(of["sha256"]));
    clip.set_iteration(Int(of["iteration"]));
    clip.set_ticket(Int(of["ticket"]));
    clip.set_index(Int(of["index"]));
    clip.set_worker(Text(of["worker"]));
    clip.set_stored_ms(Millis(of["at"]));
  }
}

void AddLeases(Transaction& t, int64_t question_id, const std::string& lease_id,
               v1::LabelTrace* trace) {
  for (const auto& row : t.Exec(R"sql(
           SELECT c.name, l.state, extract(epoch FROM l.leased_at) AS at, l.id = $2 AS of_label
           FROM leases l JOIN callers c ON c.id = l.caller_id
           WHERE l.question_id = $1 ORDER BY l.leased_at, l.id)sql",
                                question_id, lease_id)) {
    v1::TracedLease& lease = *trace->add_leases();
    lease.set_labeler(Text(row["name"]));
    lease.set_state(Text(row["state"]));
    lease.set_leased_ms(Millis(row["at"]));
    lease.set_of_label(Bool(row["of_label"]));
  }
  for (const auto& row : t.Exec(R"sql(
           SELECT l.id, l.retraction, l.choice, l.ranking, coalesce(l.position, 0) AS position,
             coalesce(c.name, '') AS by, extract(epoch FROM l.answered_at) AS at
           FROM labels l LEFT JOIN callers c ON c.id = l.retracted_by
           WHERE l.lease_id = $1 ORDER BY l.id)sql",
                                lease_id)) {
    v1::TracedEntry& entry = *trace->add_entries();
    entry.set_label_id(Int(row["id"]));
    entry.set_answered_ms(Millis(row["at"]));
    if (!Bool(row["retraction"])) {
      *entry.mutable_answer() = AnswerFromFields(row["choice"], row["ranking"]);
    }
    entry.set_retracted_by(Text(row["by"]));
    entry.set_position(Int(row["position"]));
  }
}

// Of a label that is trained on, at this place of the feed; `ended`: the place of the entry that
// took it back or replaced it.
void AddSnapshots(Transaction& t, int64_t run_id, int64_t position, std::optional<int64_t> ended,
                  v1::LabelTrace* trace) {
  const auto add = [](const pqxx::row& row, v1::TracedSnapshot* snapshot) {
    snapshot->set_version(Int(row["version"]));
    snapshot->set_iteration(Int(row["iteration"]));
    snapshot->set_reported_ms(Millis(row["at"]));
  };
  const auto had_it = [&](const pqxx::row& row) {
    return !ended.has_value() || *ended > Int(row["label_position"]);
  };
  const pqxx::result reward = t.Exec(R"sql(
      SELECT version, iteration, label_position, extract(epoch FROM at) AS at FROM snapshot_sources
      WHERE run_id = $1 AND kind = 'REWARD' AND label_position >= $2 ORDER BY version LIMIT 1)sql",
                                     run_id, position);
  if (reward.empty() || !had_it(reward[0])) return;
  add(reward[0], trace->mutable_reward());
  const pqxx::result policy = t.Exec(R"sql(
      SELECT p.version, p.iteration, r.label_position, extract(epoch FROM p.at) AS at
      FROM snapshot_sources p JOIN snapshot_sources r ON r.run_id = p.run_id AND r.kind = 'REWARD'
        AND r.version = p.reward_version
      WHERE p.run_id = $1 AND p.kind = 'POLICY' AND p.reward_version >= $2
      ORDER BY p.version LIMIT 1)sql",
                                     run_id, trace->reward().version());
  if (!policy.empty() && had_it(policy[0])) add(policy[0], trace->mutable_policy());
}

// Up to which positions of the feed a run's ensembles have learned, and its policies by them.
struct Positions {
  int64_t of_ensembles = 0;
  int64_t of_policies = 0;
};

Positions LearnedPositions(Transaction& t, int64_t run_id) {
  const pqxx::row row = t.Exec(R"sql(
      SELECT coalesce(max(label_position), 0), coalesce(max(label_position) FILTER (WHERE version <=
        (SELECT max(reward_version) FROM snapshot_sources WHERE run_id = $1 AND kind = 'POLICY')),
        0)
      FROM snapshot_sources WHERE run_id = $1 AND kind = 'REWARD')sql",
                               run_id)[0];
  return {.of_ensembles = Int(row[0]), .of_policies = Int(row[1])};
}

// Those after the first position, up to the second, that are learned from.
std::vector<LearnedLabel> LabelsBetween(Transaction& t, int64_t run_id, int64_t after,
                                        int64_t until) {
  std::vector<LearnedLabel> labels;
  for (const auto& row : t.Exec(R"sql(
           SELECT l.id, l.question_id, extract(epoch FROM now() - l.answered_at)
           FROM labels l JOIN questions q ON q.id = l.question_id AND q.purpose = 'TRAIN'
           JOIN leases s ON s.id = l.lease_id AND NOT s.copied
           WHERE l.run_id = $1 AND l.position > $2 AND l.position <= $3 AND NOT l.retraction
             AND coalesce(l.choice, '') NOT IN ('CANNOT_TELL', 'BROKEN')
             AND NOT EXISTS (SELECT FROM labels n WHERE n.supersedes = l.id AND n.position <= $3)
           ORDER BY l.position)sql",
                                run_id, after, until)) {
    labels.push_back({Int(row[0]), Int(row[1]), Double(row[2])});
  }
  return labels;
}

// The first policy that learned from this ensemble or a later one.
int64_t FirstPolicy(Transaction& t, int64_t run_id, int64_t reward_version) {
  return Int(t.Exec(R"sql(
      SELECT min(version) FROM snapshot_sources
      WHERE run_id = $1 AND kind = 'POLICY' AND reward_version >= $2)sql",
                    run_id, reward_version)[0][0]);
}

}  // namespace

absl::StatusOr<v1::LabelTrace> TraceLabel(Connection& connection, const Caller& caller,
                                          int64_t label_id) {
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<v1::LabelTrace> {
    const pqxx::result rows = t.Exec(R"sql(
        SELECT l.run_id, l.question_id, l.lease_id, l.position, n.position AS ended,
          q.purpose = 'TRAIN' AND NOT l.retraction
            AND coalesce(l.choice, '') NOT IN ('CANNOT_TELL', 'BROKEN') AS trained_on
        FROM labels l JOIN questions q ON q.id = l.question_id
        LEFT JOIN labels n ON n.supersedes = l.id WHERE l.id = $1)sql",
                                     label_id);
    if (rows.empty()) {
      return absl::NotFoundError(absl::StrCat("there is no label ", label_id,
                                              ": `labels export RUN` lists those of a run"));
    }
    const pqxx::row row = rows[0];
    const int64_t run_id = Int(row["run_id"]), question_id = Int(row["question_id"]);
    RETURN_IF_ERROR(CheckRunAllowed(caller, run_id));
    v1::LabelTrace trace;
    trace.set_trace(TraceId(run_id, question_id));
    trace.set_run_id(run_id);
    trace.set_label_id(label_id);
    AddQuestion(t, question_id, &trace);
    AddLeases(t, question_id, Text(row["lease_id"]), &trace);
    if (Bool(row["trained_on"]) && !row["position"].is_null()) {
      std::optional<int64_t> ended;
      if (!row["ended"].is_null()) ended = Int(row["ended"]);
      AddSnapshots(t, run_id, Int(row["position"]), ended, &trace);
    }
    return trace;
  });
}

absl::StatusOr<std::vector<FirstLearned>> ReportSources(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::ReportSourcesRequest& request) {
  const bool reward = request.kind() == v1::REWARD;
  const std::string kind = v1::SnapshotKind_Name(request.kind());
  const int64_t run_id = request.run_id();
  return connection.Transact([&](Transaction& t) -> absl::StatusOr<std::vector<FirstLearned>> {
    RETURN_IF_ERROR(CheckEpoch(t, run_id, caller.role, request.epoch()));
    // a learner may tell of a policy before the trainer tells of the ensemble, or at once
    t.Exec("SELECT pg_advisory_xact_lock($1)", kSourcesLock | run_id);
    const Positions before = LearnedPositions(t, run_id);
    const auto only_if = [](bool is, int64_t value) {
      return is ? std::optional<int64_t>(value) : std::nullopt;
    };
    const pqxx::result stored =
        t.Exec(R"sql(
        INSERT INTO snapshot_sources (run_id, kind, version, iteration, label_position,
          reward_version)
        SELECT $1, $2, $3, iteration, $4, $5 FROM snapshots
        WHERE run_id = $1 AND kind = $2 AND version = $3
        ON CONFLICT DO NOTHING RETURNING version)sql",
               run_id, kind, request.version(), only_if(reward, request.label_position()),
               only_if(!reward, request.reward_version()));
    std::vector<FirstLearned> learned;
    if (stored.empty()) {
      if (!t.Exec("SELECT FROM snapshot_sources WHERE run_id = $1 AND kind = $2 AND version = $3",
                  run_id, kind, request.version())
               .empty()) {
        return learned;
      }
      return absl::NotFoundError(absl::StrCat("run ", run_id, " has no ", kind,
                                              " snapshot of version ", request.version()));
    }
    const Positions now = LearnedPositions(t, run_id);
    if (now.of_ensembles > before.of_ensembles) {
      learned.push_back({v1::REWARD, request.version(),
                         LabelsBetween(t, run_id, before.of_ensembles, now.of_ensembles)});
    }
    if (now.of_policies > before.of_policies) {
      learned.push_back({v1::POLICY,
                         reward ? FirstPolicy(t, run_id, request.version()) : request.version(),
                         LabelsBetween(t, run_id, before.of_policies, now.of_policies)});
    }
    return learned;
  });
}

}  // namespace backflip::preference_broker
